"""How long does `ilk identify` take from a cold shell: a 10,000 x 512 gallery, one JPEG?

Every run is a process of its own, interpreter start-up included; files are in the page cache.
The encoder is the small one, trained for two steps; its answers do not matter, its size does.
"""

import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

NUM_RUNS = 15
TARGET_SECONDS = 1.0
NUM_ROWS, SIZE, NUM_CLASSES = 10_000, 512, 2_000


def make_artifact(folder: Path) -> Path:
    """Train for two steps, in a process of its own."""
    settings = (
        "encoder.name=small",
        "encoder.options={embedding_size = 512, size_pixels = 64, channels = 1}",
        "schedule.steps=2",
        "schedule.validate_every=2",
    )
    options = [word for setting in settings for word in ("--set", setting)]
    target = folder / "encoder.ilk"
    command = [sys.executable, "-m", "ilk", "train", "glyphs:train", "--output", str(target)]
    subprocess.run([*command, *options], check=True, stdout=subprocess.DEVNULL)
    return target


def make_gallery(folder: Path, artifact: Path) -> Path:
    """Enroll random embeddings and calibrate on the artifact's cohort."""
    from ilk import Gallery

    generator = np.random.default_rng(0)
    rows = generator.normal(size=(NUM_ROWS, SIZE)).astype(np.float32)
    labels = [f"class {i % NUM_CLASSES}" for i in range(NUM_ROWS)]
    location = folder / "ten thousand.gallery"
    with Gallery.create(location, artifact) as gallery:
        gallery.enroll(labels, rows, guard="off")
        gallery.calibrate(0.01)
    return location


def make_photograph(folder: Path) -> Path:
    """A smooth 640-pixel JPEG."""
    generator = np.random.default_rng(1)
    coarse = Image.fromarray(generator.integers(0, 255, (12, 16, 3), dtype=np.uint8))
    path = folder / "photograph.jpg"
    coarse.resize((640, 480), Image.Resampling.BICUBIC).save(path, quality=90)
    return path


def seconds(command: Sequence[str]) -> float:
    """Return the wall time of one run."""
    start = time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - start


def modules(command: Sequence[str]) -> set[str]:
    """Return which heavy modules a run imports."""
    traced = [sys.executable, "-X", "importtime", *command[1:]]
    found = subprocess.run(traced, check=True, capture_output=True, text=True).stderr
    names = {line.rpartition("|")[2].strip() for line in found.splitlines()}
    return names & {"torch", "timm", "lightning", "faiss", "rich", "scipy", "pandas"}


def main() -> int:
    """Time cold runs, print medians and spread, and compare with the target."""
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        artifact = make_artifact(folder)
        location, picture = make_gallery(folder, artifact), make_photograph(folder)
        ask = [sys.executable, "-m", "ilk", "identify", str(location), str(picture)]
        commands = {
            "python -c 'import numpy, onnxruntime'": [
                sys.executable,
                "-c",
                "import numpy, onnxruntime",
            ],
            "ilk identify": ask,
            "ilk identify --json": [*ask, "--json"],
        }
        times: dict[str, list[float]] = {name: [] for name in commands}
        for command in commands.values():
            seconds(command)
        for _ in range(NUM_RUNS):
            for name, command in commands.items():
                times[name].append(seconds(command))
        heavy = modules(ask)
    print(f"{NUM_ROWS:,} x {SIZE}, {NUM_CLASSES:,} classes, one 640-pixel JPEG")
    for name, values in times.items():
        print(
            f"{name:37} median {statistics.median(values):.3f} s, {min(values):.3f} to "
            f"{max(values):.3f} s over {NUM_RUNS} runs"
        )
    print(f"heavy modules that it imports: {', '.join(sorted(heavy)) or 'none'}")
    is_met = statistics.median(times["ilk identify"]) < TARGET_SECONDS and "torch" not in heavy
    print(f"target: under {TARGET_SECONDS} s without torch: {'met' if is_met else 'NOT met'}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
