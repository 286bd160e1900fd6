"""The program `plausible`: its verbs, each in a file of its own, and how it starts fast."""

import typer

from plausible.cli.train import EXAMPLE as TRAIN_EXAMPLE
from plausible.cli.train import train

app = typer.Typer(
    name="plausible",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    help="Calibrated uncertainty for medical image segmentation, from the voxel to the dose. "
    "Research use only: not a medical device, not for clinical decisions.",
)
app.command(epilog=f"Example: {TRAIN_EXAMPLE}")(train)


@app.callback()
def root() -> None:
    """Take no options of its own: every verb has its own."""


def main() -> None:
    """Run the program."""
    app()
