"""`python -m pinetune.grading`: the grading pod."""

import sys

from pinetune.client.grader_kinds import COSINE
from pinetune.grading import graders
from pinetune.grading.askers import Askers
from pinetune.grading.asking import Asker
from pinetune.grading.config import GradingSettings
from pinetune.grading.models.embedding import EmbeddingAsker
from pinetune.grading.models.judge import JudgeAsker
from pinetune.grading.remote.asker import RemoteAsker
from pinetune.grading.sandbox.asker import PythonAsker
from pinetune.grading.service import GradingService
from pinetune.pod.config import load, read
from pinetune.pod.server import Pod, PodSettings, RegisteredService, run


def build(pod: Pod) -> list[RegisteredService]:
    """Return what the pod serves; raises InvalidInput where the settings name a model that cannot be asked."""
    askers = Askers(askers_of(read(GradingSettings)))
    pod.add_shutdown(askers.close)
    return [GradingService(askers).registered()]


def askers_of(settings: GradingSettings) -> dict[str, Asker]:
    """Return who is asked for the kinds that the core cannot grade."""
    judge = JudgeAsker(settings)
    return {
        "python": PythonAsker(settings),
        "score_model": judge,
        "label_model": judge,
        COSINE: EmbeddingAsker(settings),
        "remote": RemoteAsker(settings),
    }


def main() -> int:
    """Be a grading pod until asked to stop; return the process's exit code."""
    graders.use_threads(load(GradingSettings).threads)
    return run("grading", load(PodSettings), build)


if __name__ == "__main__":
    sys.exit(main())
