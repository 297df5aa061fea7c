"""All retrieval metrics: ilk against pytorch-metric-learning, and against the bare matrix product.

    python benchmarks/retrieval.py            # both sizes, a few minutes on 2 cores
    python benchmarks/retrieval.py --small    # 10,000 x 512 only

Every run is a process of its own, so that its peak memory is its own; runs alternate between the
contestants and the ratio is that of the medians. "bare" is NumPy's blocked float32 matrix product
of unit vectors plus `np.argpartition` of the k largest per row, k the number of mates of the
largest class: what anybody must pay who wants neighbours at all.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import time

import numpy as np


def make(num_items: int, num_classes: int, size: int = 512) -> tuple[np.ndarray, np.ndarray]:
    """Classes of 2 to 12 items around random centres, about 3 in 4 queries right."""
    rng = np.random.default_rng(0)
    labels = np.concatenate(
        [np.repeat(np.arange(num_classes), 2), _more(rng, num_items, num_classes)]
    )
    rng.shuffle(labels)
    centres = rng.standard_normal((num_classes, size), dtype=np.float32)
    noise = rng.standard_normal((num_items, size), dtype=np.float32)
    return centres[labels] + 2.0 * noise, labels


def _more(rng: np.random.Generator, num_items: int, num_classes: int) -> np.ndarray:
    """Hand out the items beyond two per class, at most ten more to each."""
    places = np.repeat(np.arange(num_classes), 10)
    return rng.choice(places, num_items - 2 * num_classes, replace=False)


def run_ilk(embeddings: np.ndarray, labels: np.ndarray) -> dict[str, float]:
    from ilk.distances import Cosine
    from ilk.evaluation.retrieval import retrieval

    found = retrieval(embeddings, labels, Cosine(), recall_at=(1, 5, 10))
    return {name: float(np.nanmean(values)) for name, values in found.items()}


def run_bare(embeddings: np.ndarray, labels: np.ndarray) -> dict[str, float]:
    unit = embeddings / np.linalg.norm(embeddings, axis=1, keepdims=True)
    k = int(np.bincount(labels).max()) - 1
    rows = 256
    values = np.empty((rows, len(unit)), np.float32)
    neighbors = np.empty((len(unit), k), np.int64)
    for start in range(0, len(unit), rows):
        part = values[: min(rows, len(unit) - start)]
        np.matmul(unit[start : start + rows], unit.T, out=part)
        part[np.arange(len(part)), np.arange(start, start + len(part))] = -np.inf
        neighbors[start : start + rows] = np.argpartition(part, -k, axis=1)[:, -k:]
    return {}


def run_pml(embeddings: np.ndarray, labels: np.ndarray) -> dict[str, float]:
    import torch
    from pytorch_metric_learning.utils.accuracy_calculator import AccuracyCalculator

    calculator = AccuracyCalculator(device=torch.device("cpu"))
    unit = torch.nn.functional.normalize(torch.from_numpy(embeddings))
    return dict(calculator.get_accuracy(unit, torch.from_numpy(labels)))


RUNS = {"ilk": run_ilk, "bare": run_bare, "pml": run_pml}


def run_one(name: str, num_items: int, num_classes: int) -> None:
    """Run one contestant here and print its time, its extra memory and what it found."""
    if name == "pml":
        import torch  # noqa: F401  its import is not the peer's memory
    embeddings, labels = make(num_items, num_classes)
    RUNS[name](embeddings[:500], labels[:500])
    before = _resident()
    began = time.perf_counter()
    found = RUNS[name](embeddings, labels)
    seconds = time.perf_counter() - began
    print(json.dumps({"seconds": seconds, "mib": _peak() - before, "found": found}))


def _resident() -> float:
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20


def _peak() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10


def measure(
    names: tuple[str, ...], num_items: int, num_classes: int, repeats: int
) -> dict[str, float]:
    """Return the median seconds of each contestant, after printing the table."""
    runs: dict[str, list[dict[str, float]]] = {name: [] for name in names}
    for _ in range(repeats):
        for name in names:
            command = [sys.executable, __file__, "--one", name, str(num_items), str(num_classes)]
            output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
            runs[name].append(json.loads(output.splitlines()[-1]))
    print(f"\n{num_items:,} x 512, {num_classes:,} classes, {os.cpu_count()} cores, {repeats} runs")
    for name, results in runs.items():
        seconds = [result["seconds"] for result in results]
        found = {key: round(value, 4) for key, value in dict(results[0]["found"]).items()}
        extra = max(result["mib"] for result in results)
        print(
            f"  {name:5} {statistics.median(seconds):8.2f} s ({min(seconds):.2f} to "
            f"{max(seconds):.2f}), {extra:8.0f} MiB extra  {found}"
        )
    return {
        name: statistics.median(r["seconds"] for r in results) for name, results in runs.items()
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--one", nargs=3, metavar=("NAME", "ITEMS", "CLASSES"))
    parser.add_argument("--small", action="store_true")
    parser.add_argument("--repeats", type=int, default=3)
    arguments = parser.parse_args()
    if arguments.one:
        name, num_items, num_classes = arguments.one
        run_one(name, int(num_items), int(num_classes))
        return
    small = measure(("ilk", "pml"), 10_000, 1_870, arguments.repeats)
    print(f"  pytorch-metric-learning / ilk = {small['pml'] / small['ilk']:.1f} (at least 10)")
    if not arguments.small:
        large = measure(("ilk", "bare"), 60_502, 11_316, arguments.repeats)
        print(f"  ilk / bare = {large['ilk'] / large['bare']:.2f} (at most 1.5)")


if __name__ == "__main__":
    main()
