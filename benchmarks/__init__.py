"""Speed and memory as ratios against a named peer in one run; `python -m benchmarks` runs them all."""
