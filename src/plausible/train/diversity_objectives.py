"""Objectives that make the members of an ensemble differ on purpose; the table that command line, docs and tests read.

An objective of the kind "together" or "last layers" is one function in a file of its own, under the name `TERM`: from
the members' probabilities on a set of voxels to one number a member, which is added to that member's loss. "in
sequence" is a penalty on a network's weights, given the members trained before it. This table does not import them, so
that `plausible --help` needs no torch.

More diversity is not better by itself: in large networks it costs accuracy (Abe et al. 2024, arXiv:2302.00704), and a
loss of the ensemble as a whole is met by members that conspire (Jeffares et al. 2023, arXiv:2301.11323).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module
from typing import Any, Literal, get_args

DiversityName = Literal[
    "none", "negative_correlation", "function_repulsion", "orthogonal_filters", "last_layer_repulsion"
]
How = Literal["together", "in sequence", "last layers"]
DiversityAt = Literal["boundary", "all"]
DiversityImages = Literal["training", "shifted", "shuffled", "unlabelled"]
IMAGES: Mapping[DiversityImages, str] = {
    "training": "",
    "shifted": "on images with artefacts",
    "shuffled": "on shuffled images",
    "unlabelled": "on unlabelled images",
}
"""Images on which members are made to differ, and how a name tells it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DiversityObjective:
    """One way to make members differ.

    Attributes:
        label: its name in tables, pages and names of ensembles.
        summary: what it does, in one sentence.
        source: publication.
        how: whether all networks are trained at once, one after another, or only their last layers, at once.
        symbol: what its weight is called.
        weight, at, images: defaults of `DiversitySettings`.
        module: file with the function `TERM`.
    """

    name: DiversityName
    label: str
    summary: str
    source: str
    how: How
    symbol: str
    weight: float
    at: DiversityAt
    images: DiversityImages
    module: str

    def load(self) -> Any:
        """Import the function; this imports torch."""
        return import_module(self.module).TERM


def _listed(*objectives: DiversityObjective) -> dict[str, DiversityObjective]:
    found = {objective.name: objective for objective in objectives}
    if {*found, "none"} != set(get_args(DiversityName)):
        raise TypeError("DiversityName and the table of objectives differ")
    return {str(name): objective for name, objective in found.items()}


DIVERSITY_OBJECTIVES = _listed(
    DiversityObjective(
        name="negative_correlation",
        label="negative correlation",
        summary="Each member is rewarded for lying away from the mean prediction: loss - lambda |p - mean|².",
        source="Liu & Yao 1999, doi:10.1016/S0893-6080(99)00073-8; Buschjäger et al. 2020, arXiv:2011.02952",
        how="together",
        symbol="lambda",
        weight=0.5,
        at="boundary",
        images="training",
        module="plausible.train.negative_correlation",
    ),
    DiversityObjective(
        name="function_repulsion",
        label="repulsion in function space",
        summary="Members push each other away in the space of their predictions, through a kernel.",
        source="D'Angelo & Fortuin 2021, arXiv:2106.11642",
        how="together",
        symbol="weight",
        weight=0.1,
        at="boundary",
        images="training",
        module="plausible.train.function_repulsion",
    ),
    DiversityObjective(
        name="orthogonal_filters",
        label="orthogonal filters",
        summary="The filters of a layer are kept orthogonal to each other and to those of the members before.",
        source="Larrazabal et al. 2021, arXiv:2105.10827",
        how="in sequence",
        symbol="lambda",
        weight=0.1,
        at="all",
        images="training",
        module="plausible.train.orthogonal_filters",
    ),
    DiversityObjective(
        name="last_layer_repulsion",
        label="repulsive last layers",
        summary="Last layers on the frozen features of one network, which repel each other where labels mean nothing.",
        source="Steger et al. 2024, arXiv:2412.15758",
        how="last layers",
        symbol="weight",
        weight=0.1,
        at="all",
        images="shuffled",
        module="plausible.train.function_repulsion",
    ),
)


def told_by(record: Mapping[str, Any]) -> str:
    """Say how members were made to differ, from what stands in their records; empty where nothing did."""
    objective = DIVERSITY_OBJECTIVES.get(str(record.get("diversity", "none")))
    if objective is None:
        return ""
    where = IMAGES[record["diversity_images"]] if "diversity_images" in record else ""
    return ", ".join(filter(None, [objective.label, f"{objective.symbol} {record['diversity_weight']:g}", where]))
