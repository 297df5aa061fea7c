"""Triplet "all", forward and backward, beside pytorch-metric-learning's TripletMarginLoss.

    python -m benchmarks.triplet [--json out.json] [--repeats 7]

Times are taken in one process, the two taking turns, on one thread; memory is the growth of the
peak resident set of a fresh process per measurement. Values and gradients of the two must agree.
"""

from __future__ import annotations

import argparse
import json
import platform
import re
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

import ilk
from ilk.distances import Cosine, Distance, Euclidean, Hyperbolic
from ilk.losses import Triplet

N, K, D, MARGIN = 1024, 4, 128, 0.05
LARGE_N = 8192
DISTANCES: dict[str, Distance] = {
    "cosine": Cosine(),
    "euclidean": Euclidean(),
    "hyperbolic": Hyperbolic(),
}
TARGETS = {"times_faster": 30.0, "memory_share": 0.1, "large_gigabytes": 3.0}

Step = Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]


def batch(num_items: int) -> tuple[Tensor, Tensor]:
    """Embeddings halfway trained: classes overlap, a good part of the triplets is active."""
    generator = torch.Generator().manual_seed(0)
    labels = torch.arange(num_items) // K
    centres = torch.randn(num_items // K, D, generator=generator)
    noise = torch.randn(num_items, D, generator=generator)
    return (0.3 * centres[labels] + noise).requires_grad_(), labels


def ours(distance: str) -> Step:
    loss = Triplet(margin=MARGIN, distance=DISTANCES[distance], triplets="all")

    def step(embeddings: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        value = loss(embeddings, labels)
        return value.detach(), torch.autograd.grad(value, embeddings)[0]

    return step


def peer() -> Step:
    from pytorch_metric_learning.distances import CosineSimilarity
    from pytorch_metric_learning.losses import TripletMarginLoss

    loss = TripletMarginLoss(margin=MARGIN, distance=CosineSimilarity())

    def step(embeddings: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        value = loss(embeddings, labels)
        return value.detach(), torch.autograd.grad(value, embeddings)[0]

    return step


def time_side_by_side(repeats: int) -> dict[str, list[float]]:
    """Seconds per step of each, taking turns after a warm-up that also compares the answers."""
    embeddings, labels = batch(N)
    steps = {"ours": ours("cosine"), "peer": peer()}
    (value, gradient), (peer_value, peer_gradient) = (s(embeddings, labels) for s in steps.values())
    torch.testing.assert_close(value, peer_value, rtol=1e-5, atol=0)
    torch.testing.assert_close(gradient, peer_gradient, rtol=1e-3, atol=1e-7)
    seconds: dict[str, list[float]] = {name: [] for name in steps}
    for _ in range(repeats):
        for name, step in steps.items():
            start = time.perf_counter()
            step(embeddings, labels)
            seconds[name].append(time.perf_counter() - start)
    return seconds


def resident_bytes(field: str) -> int:
    """VmRSS (now) or VmHWM (peak) of this process, in bytes; Linux only."""
    status = Path("/proc/self/status").read_text()
    match = re.search(rf"{field}:\s+(\d+) kB", status)
    if match is None:
        raise SystemExit(f"/proc/self/status has no {field}; memory is measured on Linux only")
    return int(match[1]) * 1024


def grow(who: str, num_items: int) -> None:
    """Print by how many bytes one step raises the peak of this process."""
    torch.set_num_threads(1)
    step = peer() if who == "peer" else ours(who)
    step(*batch(8 * K))
    embeddings, labels = batch(num_items)
    Path("/proc/self/clear_refs").write_text("5")  # the peak starts from here
    before, start = resident_bytes("VmRSS"), time.perf_counter()
    step(embeddings, labels)
    seconds = time.perf_counter() - start
    print(json.dumps({"bytes": resident_bytes("VmHWM") - before, "seconds": seconds}))


def grown(who: str, num_items: int) -> dict[str, float]:
    command = [sys.executable, __file__, "--grow", who, str(num_items)]
    output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    answer: dict[str, float] = json.loads(output)
    return answer


def spread(values: list[float]) -> str:
    low, middle, high = min(values), statistics.median(values), max(values)
    return f"{middle:.4g} ({low:.4g} to {high:.4g})"


def measure(repeats: int) -> dict[str, Any]:
    seconds = time_side_by_side(repeats)
    ratios = [b / a for a, b in zip(seconds["ours"], seconds["peer"], strict=True)]
    memory = {who: grown(who, N)["bytes"] for who in ("cosine", "peer")}
    large = {name: grown(name, LARGE_N) for name in DISTANCES}
    return {
        "seconds": seconds,
        "times_faster": ratios,
        "bytes": memory,
        "memory_share": memory["cosine"] / memory["peer"],
        "large": large,
    }


def show(result: dict[str, Any], repeats: int) -> None:
    print(
        f'triplet "all", forward and backward, cosine, float32, N {N}, K {K}, D {D}; '
        f"{repeats} turns"
    )
    print(f"{processor()}, 1 thread, torch {torch.__version__}, ilk {ilk.__version__}")
    seconds, memory, large = result["seconds"], result["bytes"], result["large"]
    rows = [
        ("", "ilk", "pytorch-metric-learning", "ratio", "target"),
        (
            "seconds, median (min to max)",
            spread(seconds["ours"]),
            spread(seconds["peer"]),
            spread(result["times_faster"]) + "x",
            f">= {TARGETS['times_faster']:g}x",
        ),
        (
            "extra memory, MB",
            f"{memory['cosine'] / 1e6:.0f}",
            f"{memory['peer'] / 1e6:.0f}",
            f"{result['memory_share']:.3f}",
            f"<= {TARGETS['memory_share']:g}",
        ),
    ]
    rows += [
        (
            f"N {LARGE_N}, {name}: extra MB, seconds",
            f"{got['bytes'] / 1e6:.0f}, {got['seconds']:.2f}",
            "",
            "",
            f"< {TARGETS['large_gigabytes']:g} GB",
        )
        for name, got in large.items()
    ]
    widths = [max(len(row[i]) for row in rows) for i in range(5)]
    for row in rows:
        cells = [cell.ljust(width) for cell, width in zip(row, widths, strict=True)]
        print("  ".join(cells).rstrip())


def processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.processor()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--grow", nargs=2, metavar=("WHO", "N"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.grow:
        grow(options.grow[0], int(options.grow[1]))
        return
    torch.set_num_threads(1)
    result = measure(options.repeats)
    show(result, options.repeats)
    if options.json:
        options.json.write_text(json.dumps(result, indent=2) + "\n")


if __name__ == "__main__":
    main()
