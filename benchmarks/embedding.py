"""Embedding by ONNX Runtime against torch eager: same net, same batch, same threads, in turns.

Both get the same float32 inputs and use 2 threads. The net has random weights, which costs as much
as trained ones. The ONNX side is `OnnxEncoder.embed`, checks included; the torch side is the
module in evaluation mode under `inference_mode`.
"""

import statistics
import sys
import time
from collections.abc import Callable

import numpy as np
import torch

from ilk.distances import Cosine
from ilk.encoders.onnx import OnnxEncoder
from ilk.encoders.timm import TimmEncoder
from ilk.training.graph import frozen_copy, measure_parity, to_onnx

BACKBONES = ("mobilenetv3_large_100", "tf_efficientnet_lite0")
SIZE_PIXELS, BATCH_SIZE, NUM_THREADS, NUM_ROUNDS = 224, 16, 2, 7
TARGET = 1.5


def seconds(call: Callable[[], object]) -> float:
    """Return the wall time of one call."""
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def compare(backbone: str, inputs: np.ndarray) -> None:
    """Print how many times faster ONNX Runtime is for one net."""
    torch.manual_seed(0)
    net = TimmEncoder(
        backbone=backbone, pretrained=False, embedding_size=128, size_pixels=SIZE_PIXELS
    )
    frozen = frozen_copy(net)
    served = OnnxEncoder(
        to_onnx(frozen, inputs),
        preprocess=frozen.preprocess,
        embedding_size=128,
        fingerprint="",
        num_threads=NUM_THREADS,
    )
    batch = torch.from_numpy(inputs)

    def by_torch() -> None:
        with torch.inference_mode():
            frozen(batch)

    def by_onnx() -> None:
        served.embed(inputs)

    by_torch(), by_onnx()
    rounds = [(seconds(by_torch), seconds(by_onnx)) for _ in range(NUM_ROUNDS)]
    ratios = sorted(eager / onnx for eager, onnx in rounds)
    eager, onnx = (statistics.median(times) for times in zip(*rounds, strict=True))
    parity = measure_parity(frozen, served, inputs, Cosine())
    print(
        f"{backbone}: torch eager {len(inputs) / eager:.0f} items/s, ONNX Runtime "
        f"{len(inputs) / onnx:.0f} items/s; ratio median {statistics.median(ratios):.2f}, "
        f"{ratios[0]:.2f} to {ratios[-1]:.2f} over {NUM_ROUNDS} rounds "
        f"(target: at least {TARGET}); distances differ by {parity.max_relative_difference:.1e}"
    )


def main() -> int:
    """Compare both nets."""
    torch.set_num_threads(NUM_THREADS)
    generator = np.random.default_rng(0)
    shape = (BATCH_SIZE, 3, SIZE_PIXELS, SIZE_PIXELS)
    inputs = generator.normal(size=shape).astype(np.float32)
    print(f"batch {BATCH_SIZE}, {SIZE_PIXELS} px, {NUM_THREADS} threads, torch {torch.__version__}")
    for backbone in BACKBONES:
        compare(backbone, inputs)
    return 0


if __name__ == "__main__":
    sys.exit(main())
