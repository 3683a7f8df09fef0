"""The `pinetune` command: one file per noun beside this one.

Exit codes:

    0     done; a watch ended by Ctrl-C, whose job goes on; `up` stopped by Ctrl-C or SIGTERM
    1     a watched job or an awaited evaluation did not succeed, `up` lost a service, a case of `graders run --cases`
          could not be graded as it stands, a grader failed its `graders test`, or a command of `graders` met an outage
    2     the command cannot be carried out, with one sentence per fault on stderr
    130   any other command ended by Ctrl-C
"""

import sys
from collections.abc import Sequence
from importlib.metadata import version
from typing import Annotated

import typer

from pinetune.cli import checkpoints, datasets, evals, graders, jobs, rollouts, up
from pinetune.cli.console import EXIT_REFUSED, fail
from pinetune.pod.errors import PinetuneError

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    # Plain help and usage errors: they are read in logs and by scripts as often as on a terminal.
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    help="Reinforcement fine-tuning on your own cluster.",
)
app.command("up")(up.up)
app.add_typer(jobs.app, name="jobs")
app.add_typer(datasets.app, name="datasets")
app.add_typer(graders.app, name="graders")
app.add_typer(evals.app, name="evals")
app.add_typer(rollouts.app, name="rollouts")
app.add_typer(checkpoints.app, name="checkpoints")


def _print_version(wanted: bool) -> None:
    if wanted:
        print(f"pinetune {version('pinetune')}")
        raise typer.Exit


@app.callback()
def _root(
    _: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Reinforcement fine-tuning on your own cluster."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command of `arguments`, those of the process by default, and exit with its code."""
    try:
        app(arguments, prog_name="pinetune")
    except PinetuneError as error:
        fail(str(error))
        sys.exit(EXIT_REFUSED)


if __name__ == "__main__":
    main()
