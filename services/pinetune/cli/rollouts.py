"""`pinetune rollouts`: list, get."""

from itertools import islice
from typing import Annotated

import typer
from rich.text import Text

from pinetune.api.jobs.v1 import jobs_pb2
from pinetune.api.rollout.v1 import rollout_pb2
from pinetune.cli.connection import DEFAULT_SERVER, Server, jobs_at
from pinetune.cli.console import AsJson, out, pairs, print_json, table
from pinetune.client.rollout import GradeError
from pinetune.pod.errors import InvalidInput

app = typer.Typer(no_args_is_help=True, help="See every sample that a job learnt from, with its grade.")

Owner = Annotated[str, typer.Argument(metavar="JOB|EVAL", help="Id of a job or of an evaluation.")]
PURPOSES = {
    "training": rollout_pb2.ROLLOUT_PURPOSE_TRAINING,
    "validation": rollout_pb2.ROLLOUT_PURPOSE_VALIDATION,
    "evaluation": rollout_pb2.ROLLOUT_PURPOSE_EVALUATION,
}
EVALUATION_PREFIX = "eval-"
CELL_CHARACTERS = 60


@app.command("list")
def list_rollouts(
    owner: Owner,
    step: Annotated[int | None, typer.Option(help="Only this step's.")] = None,
    purpose: Annotated[str, typer.Option(help="Only those for: training, validation or evaluation.")] = "",
    limit: Annotated[int, typer.Option(min=1, help="Most to show.")] = 20,
    server: Server = DEFAULT_SERVER,
    as_json: AsJson = False,
) -> None:
    """List rollouts in the order of their sampling."""
    if purpose and purpose not in PURPOSES:
        raise InvalidInput(f"--purpose: {purpose!r} is none of {', '.join(PURPOSES)}", reason="UNKNOWN_PURPOSE")
    job_id, evaluation_id = _owner(owner)
    if job_id and purpose == "evaluation":
        raise InvalidInput(
            f"--purpose: evaluations keep their rollouts themselves, and {job_id!r} is a job; give the id of one that "
            f"`pinetune evals list --job {job_id}` names",
            reason="NO_EVALUATION_GIVEN",
        )
    with jobs_at(server) as client:
        found = client.list_rollouts(
            job_id=job_id,
            evaluation_id=evaluation_id,
            step=step,
            purpose=PURPOSES.get(purpose, rollout_pb2.ROLLOUT_PURPOSE_UNSPECIFIED),
        )
        rollouts = list(islice(found, limit))
    if as_json:
        print_json(jobs_pb2.ListRolloutsResponse(rollouts=rollouts))
        return
    rows = [
        (
            rollout.completion.completion_id,
            str(rollout.step),
            rollout.item.item_id,
            grade(rollout.grade),
            _short(_prompt(rollout)),
            _short(rollout.completion.text),
        )
        for rollout in rollouts
    ]
    out().print(table(["id", "step>", "item", "grade>", "prompt", "completion"], rows))


@app.command("get")
def get(
    owner: Owner,
    completion_id: Annotated[str, typer.Argument(metavar="COMPLETION", help="Id of the completion.")],
    server: Server = DEFAULT_SERVER,
    as_json: AsJson = False,
) -> None:
    """Show one rollout whole: prompt, completion, grade and the item's hidden fields."""
    job_id, evaluation_id = _owner(owner)
    with jobs_at(server) as client:
        rollout = client.get_rollout(completion_id, job_id=job_id, evaluation_id=evaluation_id)
    if as_json:
        print_json(rollout)
        return
    completion = rollout.completion
    reward = f"{rollout.reward:.3f}" if rollout.HasField("reward") else "none: left out of the update"
    parts = ", ".join(f"{name} {score:.3f}" for name, score in sorted(rollout.grade.part_scores.items()))
    failed = sorted(rollout.grade.part_errors.items())
    part_errors = ", ".join(f"{name} {_error_word(error)}: {error.detail}" for name, error in failed)
    versions = ", ".join(f"{s.policy_version} ({s.token_count} tokens)" for s in completion.policy_spans)
    rows: list[tuple[str, str | Text]] = [
        ("completion", completion.completion_id),
        ("item", rollout.item.item_id),
        ("step", str(rollout.step)),
        ("purpose", rollout_pb2.RolloutPurpose.Name(rollout.purpose).removeprefix("ROLLOUT_PURPOSE_").lower()),
        ("grade", grade(rollout.grade)),
        ("why", rollout.grade.error.detail),
        ("parts", parts),
        ("part errors", part_errors),
        ("answer found", rollout.grade.extracted_answer),
        ("tool calls", ", ".join(f"{call.name} {call.arguments_json}" for call in completion.tool_calls)),
        ("reward", reward),
        ("policy version", versions),
        ("finish", rollout_pb2.FinishReason.Name(completion.finish_reason).removeprefix("FINISH_REASON_").lower()),
        ("tokens", str(len(completion.token_ids)) if completion.token_ids else ""),
        ("fields", rollout.item.fields_json),
    ]
    out().print(pairs(rows))
    out().print(Text(f"\nprompt\n{_prompt(rollout)}\n\ncompletion\n{completion.text}"), soft_wrap=True)


def grade(outcome: rollout_pb2.Grade) -> Text:
    """Return a grade as its score, or as the word of its error."""
    if outcome.WhichOneof("outcome") == "score":
        return Text(f"{outcome.score:.3f}")
    return Text(_error_word(outcome.error), "yellow")


def _error_word(error: rollout_pb2.GradeError) -> str:
    return GradeError.from_wire(error).error_class.lower()


def _owner(owner: str) -> tuple[str, str]:
    """Return job id and evaluation id, one of them empty."""
    return ("", owner) if owner.startswith(EVALUATION_PREFIX) else (owner, "")


def _prompt(rollout: rollout_pb2.Rollout) -> str:
    return "\n".join(message.content for message in rollout.item.messages)


def _short(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= CELL_CHARACTERS else f"{line[: CELL_CHARACTERS - 1]}…"
