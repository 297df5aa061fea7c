"""How long do `import ilk` and `ilk --help` take, in processes of their own?

Interpreter start-up is measured beside them and is included in both.
"""

import statistics
import subprocess
import sys
import time
from collections.abc import Sequence

NUM_RUNS = 15
IMPORT_SECONDS, HELP_SECONDS = 0.2, 0.3
COMMANDS = {
    "python -c pass": [sys.executable, "-c", "pass"],
    "import ilk": [sys.executable, "-c", "import ilk"],
    "ilk --help": [sys.executable, "-m", "ilk", "--help"],
}
PROBE = "import sys, ilk; print(sorted({'torch', 'timm', 'lightning', 'PIL'} & set(sys.modules)))"


def seconds(command: Sequence[str]) -> float:
    """Return the wall time of one run."""
    start = time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - start


def main() -> int:
    """Time all commands in turn, print medians and spread, and compare with the targets."""
    times: dict[str, list[float]] = {name: [] for name in COMMANDS}
    for command in COMMANDS.values():
        seconds(command)
    for _ in range(NUM_RUNS):
        for name, command in COMMANDS.items():
            times[name].append(seconds(command))
    targets = {"import ilk": IMPORT_SECONDS, "ilk --help": HELP_SECONDS}
    medians = {name: statistics.median(values) for name, values in times.items()}
    for name, values in times.items():
        target = f"  (target: under {targets[name]} s)" if name in targets else ""
        print(
            f"{name:15} median {medians[name]:.3f} s, {min(values):.3f} to {max(values):.3f} s"
            f" over {NUM_RUNS} runs{target}"
        )
    heavy = subprocess.run(
        [sys.executable, "-c", PROBE], check=True, capture_output=True, text=True
    ).stdout.strip()
    print(f"heavy modules after `import ilk`: {heavy}")
    is_met = heavy == "[]" and all(medians[name] < target for name, target in targets.items())
    print("met" if is_met else "NOT met")
    return 0


if __name__ == "__main__":
    sys.exit(main())
