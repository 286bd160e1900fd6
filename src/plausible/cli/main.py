"""The program `plausible`: its verbs, each in a file of its own that is read when the verb is used."""

from collections.abc import Iterator, Mapping
from importlib import import_module
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

import plausible

VERBS: Mapping[str, str] = {
    "demo": "Everything on bundled real data, offline.",
    "doctor": "Check Python, packages, memory, accelerator, output folder and disk.",
    "inspect": "What is in a folder, does it fit together, and what mends it.",
    "simulate": "Toy images with known uncertainty, as a dataset to train and test on.",
    "train": "Train an ensemble from an nnU-Net raw dataset.",
    "predict": "The members of every image, from a trained model.",
    "draw": "Plausible masks from the soft predictions of any tool.",
    "assess": "The uncertainty of every case: maps, numbers, verdicts, pages.",
    "dose": "What the plausible contours do to the dose: DVH bands, constraints, slices to review.",
    "learn": "What aggregations must be told: thresholds of maps, and which numbers are usual.",
    "calibrate": "What can be promised for new patients: intervals, margins, sets, failure flags.",
    "calibrate-dose": "What can be promised of the dose of new patients: intervals, bands, constraints met.",
    "evaluate": "Members and their mean against one reference or several.",
    "diversity": "How different members are, whether they err together, and where that comes from.",
    "select": "Choose a few members of a pool, and judge them on other cases.",
    "replan": "Plans on plausible contours: what a contour does to the dose, and what a fixed dose would have said.",
    "validate": "Which uncertainty is good for what: models, measures and aggregations, judged task by task.",
    "raters": "How far the raters of a dataset agree, and how good the others are as a model.",
    "export": "Results to planning systems, viewers and other programs: DICOM, NIfTI, BIDS.",
    "report": "Draw pages again, and merge the parts of a shared run.",
}
"""Each verb in a line, in the order in which they are used; `plausible.cli.VERB` has the function and its EXAMPLE."""


class Commands(Mapping[str, Any]):
    """The commands by name. A verb is imported when its command is asked for, so that the help answers at once."""

    def __getitem__(self, name: str) -> Any:
        if name not in VERBS:
            raise KeyError(name)
        function = name.replace("-", "_")
        verb = import_module(f"plausible.cli.{function}")
        single = typer.Typer(add_completion=False, rich_markup_mode=None)
        single.command(name, epilog=f"Example: {verb.EXAMPLE}")(getattr(verb, function))
        return typer.main.get_command(single)

    def __iter__(self) -> Iterator[str]:
        return iter(VERBS)

    def __len__(self) -> int:
        return len(VERBS)


class Verbs(TyperGroup):
    """The group of all verbs."""

    def __init__(self, **told: Any) -> None:
        super().__init__(**told)
        self.commands = Commands()  # type: ignore[assignment]

    def list_commands(self, ctx: Any) -> list[str]:
        """Names of the verbs."""
        return list(VERBS)

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """List the verbs without importing them."""
        with formatter.section("Verbs"):
            formatter.write_dl(list(VERBS.items()))


app = typer.Typer(
    name="plausible",
    cls=Verbs,
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    subcommand_metavar="VERB ...",
)


@app.callback(
    invoke_without_command=True,
    epilog="plausible VERB --help says more. Research use only: not a medical device, not for clinical decisions.",
)
def root(
    version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False,
) -> None:
    """Calibrated uncertainty for medical image segmentation, from the voxel to the dose."""
    if version:
        typer.echo(plausible.__version__)
        raise typer.Exit


def main() -> None:
    """Run the program."""
    app()
