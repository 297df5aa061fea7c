"""How long does it take to find the closest class of a probe, beside faiss and the bare product?

    python -m benchmarks.identify             # about ten minutes and 5 GB of memory
    python -m benchmarks.identify --small     # without the million rows

Ours is `closest_classes` on a searcher: the scan, distances in float64 and the two closest classes.
Everything runs on one thread, the contestants taking turns. Ten exemplars per class, as unit
vectors; those of a class are at a cosine of 0.64. "isotropic" spreads the classes evenly over all
directions, "low rank" as 1 / sqrt(i) over the axes, which makes strangers lie closer.
"""

from __future__ import annotations

import argparse
import os
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable

import faiss
import numpy as np

from ilk.closest import Members, closest_classes
from ilk.distances import Cosine
from ilk.searcher import Searcher
from ilk.searchers.exact import ExactSearcher
from ilk.searchers.pq import PqSearcher

D, PER_CLASS, BLOCK = 512, 10, 20_000
SPECTRA = {"isotropic": np.ones(D), "low rank": np.arange(1, D + 1) ** -0.5}
MOST_EXTRA_MS, LEAST_BATCH_RATE, LEAST_TIMES_FASTER = 1.0, 0.6, 10.0


def draw(seed: int, num_rows: int, spectrum: np.ndarray, per_class: int) -> np.ndarray:
    """Rows of classes that nobody else's seed has, at unit length."""
    rng = np.random.default_rng(seed)
    scale = spectrum.astype(np.float32)
    centres = rng.standard_normal((num_rows // per_class, D), dtype=np.float32)
    noise = rng.standard_normal((num_rows, D), dtype=np.float32)
    rows = (np.repeat(centres, per_class, 0) + 0.75 * noise) * scale
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def gallery(num_rows: int, spectrum: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Rows block by block, and 1,000 further exemplars of classes among them."""
    rows = np.empty((num_rows, D), np.float32)
    mated = []
    for block, start in enumerate(range(0, num_rows, BLOCK)):
        made = draw(block, BLOCK // PER_CLASS * (PER_CLASS + 1), spectrum, PER_CLASS + 1)
        made = made.reshape(-1, PER_CLASS + 1, D)
        rows[start : start + BLOCK] = made[:, :PER_CLASS].reshape(-1, D)
        mated.append(made[:, PER_CLASS])
    chosen = np.random.default_rng(1).permutation(num_rows // PER_CLASS)[:1000]
    return rows, np.concatenate(mated)[chosen]


def members_of(num_rows: int) -> Members:
    members = Members()
    ids = np.arange(num_rows)
    members.put(ids, ids // PER_CLASS, np.zeros(num_rows, np.int8))
    return members


def in_turns(
    contestants: dict[str, Callable[[np.ndarray], object]], probes: list[np.ndarray]
) -> dict[str, list[float]]:
    """Milliseconds of each contestant on each of the probes, after one round to warm up."""
    times: dict[str, list[float]] = {name: [] for name in contestants}
    for at, probe in enumerate([probes[0], *probes]):
        names = list(contestants)
        for name in names[at % len(names) :] + names[: at % len(names)]:
            began = time.perf_counter()
            contestants[name](probe)
            times[name].append(1000 * (time.perf_counter() - began))
    return {name: values[1:] for name, values in times.items()}


def show(times: dict[str, list[float]]) -> dict[str, float]:
    """Print medians with the middle 80 % and return the medians."""
    for name, values in times.items():
        low, high = np.quantile(values, [0.1, 0.9])
        middle = statistics.median(values)
        print(f"  {name:30} {middle:9.2f} ms ({low:.2f} to {high:.2f})")
    return {name: statistics.median(values) for name, values in times.items()}


def exact() -> bool:
    """One probe and a batch against 100,000 rows."""
    rows, mated = gallery(100_000, SPECTRA["isotropic"])
    searcher, members = ExactSearcher(Cosine(), D), members_of(len(rows))
    searcher.put(np.arange(len(rows)), rows)
    matrix = searcher.rows()[1]
    flat = faiss.IndexFlatIP(D)
    flat.add(rows)
    print("100,000 x 512, one probe, 1 thread")
    times = in_turns(
        {
            "faiss.IndexFlatIP.search": lambda probe: flat.search(probe, 1),
            "bare faiss.knn": lambda probe: faiss.knn(probe, matrix, 1, faiss.METRIC_INNER_PRODUCT),
            "ilk": lambda probe: closest_classes(searcher, members, probe, 2),
        },
        [mated[i : i + 1] for i in range(100)],
    )
    middle = show(times)
    ratio = middle["ilk"] / middle["faiss.IndexFlatIP.search"]
    pairs = zip(times["ilk"], times["bare faiss.knn"], strict=True)
    extra = statistics.median(own - bare for own, bare in pairs)
    print(f"  ilk / IndexFlatIP = {ratio:.3f} (at most 1)")
    print(f"  over the bare scan, median of pairs: {extra:.2f} ms (at most {MOST_EXTRA_MS:g})")
    print("100,000 x 512, batch of 1,024 probes, 1 thread")
    batch = np.concatenate([mated, draw(10**6, 24, SPECTRA["isotropic"], 1)])
    times = in_turns(
        {
            "bare float32 matrix product": lambda probes: probes @ matrix.T,
            "ilk": lambda probes: closest_classes(searcher, members, probes, 2),
        },
        [batch] * 7,
    )
    middle = show(times)
    rate = middle["bare float32 matrix product"] / middle["ilk"]
    print(f"  {rate:.2f} of its rate (at least {LEAST_BATCH_RATE})")
    return ratio <= 1 and extra <= MOST_EXTRA_MS and rate >= LEAST_BATCH_RATE


def prefiltered(name: str) -> bool:
    """One probe against 1,000,000 rows with codes, and whether the closest rows are the same."""
    rows, mated = gallery(1_000_000, SPECTRA[name])
    strangers = draw(10**6, 1000, SPECTRA[name], 1)
    began = time.perf_counter()
    searcher, members = PqSearcher(Cosine(), D), members_of(len(rows))
    searcher.adopt(np.arange(len(rows)), rows)
    adopted = time.perf_counter()
    is_coded = searcher.prepare()
    built = time.perf_counter() - adopted
    print(f"1,000,000 x 512, {name}, one probe, 1 thread")
    print(f"  took over in {adopted - began:.1f} s, codes built and checked in {built:.1f} s")
    scanned = ExactSearcher(Cosine(), D)
    scanned.adopt(*searcher.rows())
    times = in_turns(
        {
            "exact": lambda probe: closest_classes(scanned, members, probe, 2),
            "ilk, codes": lambda probe: closest_classes(searcher, members, probe, 2),
        },
        [kind[i : i + 1] for i in range(20) for kind in (mated, strangers)],
    )
    middle = show(times)
    faster = middle["exact"] / middle["ilk, codes"]
    print(f"  {faster:.1f} times faster (at least {LEAST_TIMES_FASTER:g})")
    wrong = [differences(searcher, scanned, probes) for probes in (mated, strangers)]
    print(f"  closest row differs for {wrong[0]} of 1,000 mated and {wrong[1]} of 1,000 others (0)")
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    print(f"  peak memory {peak:.1f} GiB, the rows alone are {rows.nbytes / 2**30:.1f}")
    return is_coded and faster >= LEAST_TIMES_FASTER and not any(wrong)


def differences(searcher: Searcher, scanned: Searcher, probes: np.ndarray) -> int:
    expected = scanned.nearest(probes, 1).ids[:, 0]
    found = [searcher.nearest(probe[None], 1).ids[0, 0] for probe in probes]
    return int((np.array(found) != expected).sum())


def main() -> int:
    """Measure in a process whose libraries were told about the one thread when they were loaded."""
    if os.environ.get("OMP_NUM_THREADS") != "1":
        alone = os.environ | dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")
        command = [sys.executable, "-m", "benchmarks.identify", *sys.argv[1:]]
        return subprocess.run(command, env=alone, check=False).returncode
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--small", action="store_true")
    arguments = parser.parse_args()
    print(f"faiss {faiss.__version__}, NumPy {np.__version__}")
    is_met = [exact()]
    if not arguments.small:
        is_met += [prefiltered(name) for name in SPECTRA]
    print("met" if all(is_met) else "NOT met")
    return 0


if __name__ == "__main__":
    sys.exit(main())
