"""The program `plausible`: its verbs, each in a file of its own."""

from typing import Annotated

import typer

import plausible
from plausible.cli import assess, demo, doctor, evaluate, inspect, predict, report, train

app = typer.Typer(
    name="plausible",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    help="Calibrated uncertainty for medical image segmentation, from the voxel to the dose. "
    "Research use only: not a medical device, not for clinical decisions.",
)

VERBS = (
    (demo.demo, demo.EXAMPLE),
    (doctor.doctor, doctor.EXAMPLE),
    (inspect.inspect, inspect.EXAMPLE),
    (train.train, train.EXAMPLE),
    (predict.predict, predict.EXAMPLE),
    (assess.assess, assess.EXAMPLE),
    (evaluate.evaluate, evaluate.EXAMPLE),
    (report.report, report.EXAMPLE),
)
"""Each verb with the example that its help shows; in the order in which they are used."""

for _verb, _example in VERBS:
    app.command(epilog=f"Example: {_example}")(_verb)


@app.callback(invoke_without_command=True)
def root(
    version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False,
) -> None:
    """Print the version, or leave it to the verb."""
    if version:
        typer.echo(plausible.__version__)
        raise typer.Exit


def main() -> None:
    """Run the program."""
    app()
