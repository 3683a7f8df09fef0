"""Runs every benchmark, one after the other: `make bench`."""

import subprocess
import sys

BENCHMARKS = ("grading", "sandbox", "generation", "replicas", "learning", "weights")

if __name__ == "__main__":
    for name in BENCHMARKS:
        print(f"\n== {name}", flush=True)
        # A process each, so that one's threads and memory do not count for another.
        subprocess.run([sys.executable, "-m", f"benchmarks.{name}"], check=True)
