"""Variance of one case by source: of the probability at each voxel, of its mean over a set of voxels, of the volume."""

import math
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Float64

from plausible.core import ScalarMap, Score
from plausible.diversity.decisions import Decisions
from plausible.diversity.design import SourceDesign
from plausible.diversity.soft_pairwise import Chunk, of_structure
from plausible.diversity.variance_components import Components, variance_components

PROBABILITY, VOLUME = "variance_of_probability", "variance_of_volume"


@dataclass(slots=True)
class ComponentSums:
    """Adds up the variance by source over voxels, and keeps a map of it where one is asked for.

    Attributes:
        decisions: of the members.
        design: the grid that members form.
        keep_maps: whether values of single voxels are kept.
    """

    decisions: Decisions
    design: SourceDesign
    keep_maps: bool = False
    _names: tuple[str, ...] = ()
    _sums: dict[str, Float64[np.ndarray, " e"]] = field(default_factory=dict)
    _n: dict[str, int] = field(default_factory=dict)
    _maps: dict[str, np.ndarray] = field(default_factory=dict)

    def add(self, chunk: Chunk) -> None:
        """Add voxels."""
        places = [self.decisions.members.index(name) for name in self.design.cells]
        classes = self.decisions.classes
        for n, structure in enumerate(classes.structures):
            here = chunk.inside[n]
            if not here.any():
                continue
            p = of_structure(chunk.p[:, :, here], structure, classes.structures, exclusive=classes.exclusive)[places, 1]
            found = components_of(p, self.design)
            self._names = found.names
            self._sums[structure] = self._sums.get(structure, np.zeros(len(found.names))) + found.values.sum(axis=1)
            self._n[structure] = self._n.get(structure, 0) + int(here.sum())
            if self.keep_maps:
                self._keep(structure, chunk.voxels[here], found)

    def rows(self, *, subject: str, region: str) -> Iterator[Score]:
        """Variance of the probability, mean over the voxels, and of the volume; NaN where it is undefined."""
        for structure, sums in self._sums.items():
            n = self._n[structure]
            values = dict(zip(self._names, (sums / n).tolist(), strict=True))
            yield from self._rows(subject, structure, PROBABILITY, region, values, n, "1")
        for n, structure in enumerate(self.decisions.classes.structures):
            volumes = volumes_ml(self.decisions, n)
            places = [self.decisions.members.index(name) for name in self.design.cells]
            found = components_of(volumes[places], self.design)
            values = dict(zip(found.names, map(float, found.values), strict=True))
            yield from self._rows(subject, structure, VOLUME, "", values, len(places), "ml²")

    def maps(self) -> Iterator[ScalarMap]:
        """Variance of the probability by source, a map per structure and a frame per source; 0 outside the set."""
        shape = self.decisions.geometry.shape
        for structure, values in self._maps.items():
            yield ScalarMap(
                f"{PROBABILITY}_{structure}",
                values.reshape(-1, *shape),
                self.decisions.geometry,
                "1",
                (-1.0, math.inf),
                f"variance of the probability of {structure} by source, unclipped; design: {self.design.told}",
                self._names,
            )

    def _keep(self, structure: str, voxels: np.ndarray, found: Components) -> None:
        if structure not in self._maps:
            n_voxels = math.prod(self.decisions.geometry.shape)
            self._maps[structure] = np.zeros((len(found.names), n_voxels), np.float32)
        self._maps[structure][:, voxels] = found.values

    def _rows(
        self, subject: str, structure: str, measure: str, region: str, values: dict[str, float], n: int, unit: str
    ) -> Iterator[Score]:
        for source, value in {**values, **dict.fromkeys(self.design.undefined, math.nan)}.items():
            yield Score(
                subject=subject,
                structure=structure,
                measure=measure,
                region=region,
                reduction=source,
                value=value,
                unit=unit,
                higher_is="neither",
                n=n,
            )


def components_of(values: np.ndarray, design: SourceDesign) -> Components:
    """Variance by source of values whose first axis runs over the members of a design, in its order."""
    grid = values.reshape(*design.shape, *values.shape[1:])
    return variance_components(grid, design.factors, residual=design.residual)


def volumes_ml(decisions: Decisions, structure: int) -> Float64[np.ndarray, " m"]:
    """Volume of the mask of each member."""
    voxels = np.bitwise_count(decisions.bits[:, structure]).sum(axis=1)
    return np.asarray(voxels * decisions.geometry.voxel_volume_ml)
