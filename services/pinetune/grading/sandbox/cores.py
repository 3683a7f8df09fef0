"""How many cores this process may keep busy: fewer than the machine has in a container with a share of it."""

import contextlib
import math
import os
from pathlib import Path

CPU_MAX = Path("/sys/fs/cgroup/cpu.max")
"""Where a container reads its share of processor time (cgroup v2): microseconds, or `max`, in a period."""


def core_count(cpu_max: Path = CPU_MAX) -> int:
    """Return the cores that this process may run on, or its share of them rounded up where that is less."""
    # macOS does not say, and runs no Python graders.
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    with contextlib.suppress(OSError, ValueError):
        quota, period = cpu_max.read_text().split()
        if quota != "max":
            return max(1, min(cores, math.ceil(int(quota) / int(period))))
    return cores
