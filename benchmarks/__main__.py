"""Run every benchmark, one process each, and keep what they print in `benchmarks/results`."""

import os
import platform
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

QUESTIONS = (
    "startup",
    "cold_identify",
    "triplet",
    "retrieval",
    "embedding",
    "training_step",
    "identify",
    "whole_gallery",
    "enroll",
    "identify_faces",
    "faces",
)


def processor() -> str:
    """Return the processor's name as the system tells it."""
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().splitlines() if cpuinfo.exists() else []
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.processor() or platform.machine())


def main(questions: list[str]) -> int:
    """Run the named benchmarks, or all; return 1 if one of them failed."""
    started = datetime.now(UTC)
    machine = f"{os.cpu_count()} cores of {processor()}, Python {platform.python_version()}"
    head = f"{started:%Y-%m-%d}, {machine}\n"
    results = Path(__file__).parent / "results"
    results.mkdir(exist_ok=True)
    failed = 0
    for question in questions or QUESTIONS:
        print(f"== {question}", flush=True)
        done = subprocess.run(
            [sys.executable, "-m", f"benchmarks.{question}"], stdout=subprocess.PIPE, text=True
        )
        print(done.stdout, flush=True)
        if done.returncode:
            failed = 1
            continue
        target = results / f"{question}-{started:%Y-%m-%d}-{os.cpu_count()}cores.txt"
        target.write_text(head + done.stdout)
    return failed


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
