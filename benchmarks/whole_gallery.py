"""A gallery of 100,000 x 512 as its callers meet it: identify, enroll, and the threshold following.

    python -m benchmarks.whole_gallery [--rows 100000]

"identify" is `Gallery.identify` of one probe: the look for changes in the store, the exact scan,
distances in float64, p-value and decision; beside it the bare scan of the same rows, in turns.
"follow" is the first threshold after one enrollment: the new row against 2,000 calibration
strangers; beside it all of them asked anew. "enroll" is one durable `Gallery.enroll`, without the
guard, beside the same row inserted by bare SQLite. One thread.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import tempfile
import time
from pathlib import Path

import faiss
import numpy as np

from benchmarks.enroll import bare
from benchmarks.identify import PER_CLASS, SPECTRA, D, draw, gallery, in_turns, show
from ilk.distances import Cosine
from ilk.gallery import Binding, Gallery

NUM_STRANGERS, NUM_SINGLES = 2_000, 100
MOST_EXTRA_MS, LEAST_TIMES_FASTER, MOST_ENROLL = 1.0, 100.0, 1.5


def fill(folder: Path, rows: np.ndarray) -> Gallery:
    binding = Binding(distance=Cosine(), embedding_size=D, encoder_fingerprint="drawn")
    opened = Gallery.create(folder / "gallery", binding, searcher="exact")
    labels = [f"class {i // PER_CLASS}" for i in range(len(rows))]
    began = time.perf_counter()
    opened.enroll(labels, rows, guard="off")
    seconds = time.perf_counter() - began
    print(f"enrolled {len(rows):,} rows in one call in {seconds:.1f} s")
    opened.calibrate(0.01, strangers=draw(10**6, NUM_STRANGERS, SPECTRA["isotropic"], 1))
    return opened


def identify(opened: Gallery, rows: np.ndarray, probes: np.ndarray) -> bool:
    flat = faiss.IndexFlatIP(D)
    flat.add(rows)
    times = in_turns(
        {
            "faiss.IndexFlatIP.search": lambda probe: flat.search(probe, 1),
            "bare faiss.knn": lambda probe: faiss.knn(probe, rows, 1, faiss.METRIC_INNER_PRODUCT),
            "Gallery.identify": opened.identify,
        },
        [probes[i : i + 1] for i in range(100)],
    )
    middle = show(times)
    ratio = middle["Gallery.identify"] / middle["faiss.IndexFlatIP.search"]
    pairs = zip(times["Gallery.identify"], times["bare faiss.knn"], strict=True)
    extra = statistics.median(own - alone for own, alone in pairs)
    print(f"  Gallery.identify / IndexFlatIP = {ratio:.3f} (at most 1)")
    print(f"  over the bare scan, median of pairs: {extra:.2f} ms (at most {MOST_EXTRA_MS:g})")
    return ratio <= 1 and extra <= MOST_EXTRA_MS


def follow(opened: Gallery, probes: np.ndarray) -> bool:
    enrolled, followed, anew = [], [], []
    for i, probe in enumerate(probes):
        began = time.perf_counter()
        opened.enroll("one more", probe[None], guard="off", names=[f"new {i}"])
        done = time.perf_counter()
        value = opened.threshold.value
        followed.append(1000 * (time.perf_counter() - done))
        enrolled.append(1000 * (done - began))
        if i < 3:
            with opened.access.fresh() as state:
                assert state.calibrator is not None
                began = time.perf_counter()
                state.calibrator.recompute(state.live.searcher, state.live.members)
                anew.append(1000 * (time.perf_counter() - began))
            assert opened.threshold.value == value
    times = {"threshold after one enrollment": followed, "all strangers anew": anew}
    middle = show(times)
    faster = middle["all strangers anew"] / middle["threshold after one enrollment"]
    print(f"  {faster:.0f} times faster (at least {LEAST_TIMES_FASTER:g})")
    return faster >= LEAST_TIMES_FASTER


def enroll_one(folder: Path, opened: Gallery, probes: np.ndarray) -> bool:
    database = bare(folder / "bare.sqlite")
    insert = "insert into exemplar(embedding) values (?)"
    times = in_turns(
        {
            "bare insert": lambda row: database.execute(insert, (row.tobytes(),)),
            "Gallery.enroll": lambda row: opened.enroll("single", row, guard="off"),
        },
        [probes[i : i + 1] for i in range(NUM_SINGLES)],
    )
    database.close()
    middle = show(times)
    ratio = middle["Gallery.enroll"] / middle["bare insert"]
    print(f"  Gallery.enroll / bare insert = {ratio:.2f} (at most {MOST_ENROLL:g})")
    return ratio <= MOST_ENROLL


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--rows", type=int, default=100_000)
    num_rows = parser.parse_args().rows
    faiss.omp_set_num_threads(1)
    rows, mated = gallery(num_rows, SPECTRA["isotropic"])
    with tempfile.TemporaryDirectory() as name:
        opened = fill(Path(name), rows)
        print(f"identify, {num_rows:,} x {D}, one probe, 1 thread")
        is_met = [identify(opened, rows, mated)]
        print(f"follow, {NUM_STRANGERS:,} strangers")
        is_met.append(follow(opened, mated[100:120]))
        print("enroll one exemplar, durable")
        is_met.append(enroll_one(Path(name), opened, mated[200:400]))
        opened.close()
    print("met" if all(is_met) else "not met")
    return not all(is_met)


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    sys.exit(main())
