"""Options that several verbs share, so that they read alike everywhere. Short flags are nnU-Net's."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, TypeAlias

import typer

Json: TypeAlias = Annotated[bool, typer.Option("--json", help="Print one JSON object instead of text.")]
DryRun: TypeAlias = Annotated[bool, typer.Option("--dry-run", help="Say what would be done, and do nothing.")]
Quiet: TypeAlias = Annotated[bool, typer.Option("-q", "--quiet", help="No progress.")]
Overwrite: TypeAlias = Annotated[bool, typer.Option("--overwrite", help="Make again what is there already.")]
Device: TypeAlias = Annotated[
    str, typer.Option("-device", "--device", help="auto (CUDA where there is one), cpu, cuda, cuda:1, ...")
]
NumParts: TypeAlias = Annotated[
    int, typer.Option("-num_parts", "--num-parts", min=1, help="Share the cases out to so many runs.")
]
PartId: TypeAlias = Annotated[
    int, typer.Option("-part_id", "--part-id", min=0, help="Do the cases PART_ID::NUM_PARTS of the sorted list.")
]
Output: TypeAlias = Annotated[Path, typer.Option("-o", "--output", help="Folder of the results.")]
Seed: TypeAlias = Annotated[int, typer.Option("--seed", help="Of everything drawn at random.")]


Accepted: TypeAlias = Annotated[
    list[str] | None,
    typer.Option(
        "--accept",
        help="Of DICOM, resample what is refused otherwise: missing_slices (single ones), uneven_slices, "
        "tilted_gantry. Give it several times for several.",
    ),
]


def refuse_without(switch: str, given: object, options: Mapping[str, object]) -> None:
    """Refuse options that do nothing without another.

    Raises:
        ValueError: one of them was told without it.
    """
    lonely = [name for name, told in options.items() if told]
    if lonely and not given:
        raise ValueError(f"{' and '.join(lonely)} belong{'s' if len(lonely) == 1 else ''} to {switch}; give it too")
