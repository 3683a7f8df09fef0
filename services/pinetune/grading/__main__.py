"""`python -m pinetune.grading`: the grading pod."""

import sys

from pinetune.grading import graders
from pinetune.grading.config import GradingSettings
from pinetune.grading.service import GradingService
from pinetune.pod.config import load
from pinetune.pod.server import Pod, PodSettings, RegisteredService, run


def build(_: Pod) -> list[RegisteredService]:
    """Return what the pod serves."""
    return [GradingService().registered()]


def main() -> int:
    """Be a grading pod until asked to stop; return the process's exit code."""
    graders.use_threads(load(GradingSettings).threads)
    return run("grading", load(PodSettings), build)


if __name__ == "__main__":
    sys.exit(main())
