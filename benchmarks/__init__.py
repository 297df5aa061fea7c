"""Speed and memory as ratios against a named peer; `python -m benchmarks` runs them all."""
