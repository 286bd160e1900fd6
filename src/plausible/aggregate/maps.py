"""Every map, over every region, by every chosen reduction: rows that say which number this is."""

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from plausible.aggregate.patches import PatchSums, patch_sums
from plausible.aggregate.reductions import RATIO, REDUCTIONS, Reduction, RegionValues
from plausible.aggregate.regions import CaseMasks, Region, regions_of
from plausible.aggregate.selection import DEFAULT_AGGREGATIONS, AggregationSettings, chosen_reductions
from plausible.aggregate.spatial import RegionMap
from plausible.aggregate.weighted import DistanceValues, RegionMeans, boundary_distances
from plausible.core import Direction, Entry, ScalarMap, Score
from plausible.measure import VOXEL_MEASURES


def aggregate_maps(
    maps: Sequence[ScalarMap],
    masks: CaseMasks,
    *,
    subject: str,
    aggregations: Sequence[str] = DEFAULT_AGGREGATIONS,
    settings: AggregationSettings | None = None,
) -> list[Score]:
    """Reduce maps of uncertainty to numbers, region by region.

    A map with one frame is read for every structure, a map with a frame per structure in that structure's frame; in
    the whole image such a map has one row per frame. Maps that tell no uncertainty (mean probability, vote share) are
    left out.

    Args:
        maps: maps of the case.
        masks: its structures.
        subject: name for the rows.
        aggregations: "REGION:REDUCTION", one of both, or "all".
        settings: widths, thresholds and connectivity.

    Returns:
        Rows with n = voxels of the region (or regions, for means over them); NaN where it is empty. A map without a
        threshold has no row above one.

    Raises:
        InvalidInput: E201 or E202, a map on another grid than the masks.
        ValueError: a name that is no region or no reduction, or one that needs a setting that was not told.
    """
    chosen = settings or AggregationSettings()
    reductions = chosen_reductions(aggregations, chosen)
    uncertain = [each for each in maps if _direction(each) is not None]
    for each in uncertain:
        each.geometry.check_matches(masks.geometry, this=f"the map {each.name}", that="the masks", subject=subject)
    reader = _Reader(masks, chosen, subject, masks.foreground_voxels())
    return [row for kind, names in reductions.items() for row in reader.rows(uncertain, kind, names)]


@dataclass(frozen=True, slots=True)
class _Reader:
    """Reads maps of one case in its regions.

    Attributes:
        masks: structures of the case.
        settings: of regions and reductions.
        subject: name for the rows.
        foreground: predicted voxels of each structure, and of all together under the empty name.
    """

    masks: CaseMasks
    settings: AggregationSettings
    subject: str
    foreground: Mapping[str, int]

    def rows(self, maps: Sequence[ScalarMap], kind: str, names: Sequence[str]) -> Iterator[Score]:
        """Yield the rows of all maps in the regions of one kind."""
        local = [name for name in names if REDUCTIONS[name].reads is not RegionMeans]
        pooled = [name for name in names if REDUCTIONS[name].reads is RegionMeans]
        parts: dict[str, list[RegionValues]] = {each.name: [] for each in maps}
        regions = regions_of(
            self.masks, [kind], boundary_mm=self.settings.boundary_mm, connectivity=self.settings.connectivity
        )
        name = kind
        for region in regions:
            distances = _Distances(self.masks, region)
            name = region.name
            for each in maps:
                for place in self._places(each, region, distances):
                    if pooled:
                        parts[each.name].append(place.read(RegionValues))
                    yield from self._rows(place, local)
        for each in maps:
            means = _means(parts[each.name])
            for reduction in pooled:
                n = int(np.count_nonzero(means.voxels))
                yield self._row(each, REDUCTIONS[reduction], means, structure="", region=name, n=n)

    def _places(self, scalar_map: ScalarMap, region: Region, distances: "_Distances") -> Iterator["_Place"]:
        for structure in scalar_map.frames if not region.structure else (region.structure,):
            yield _Place(scalar_map, structure, region, distances, self)

    def _rows(self, place: "_Place", names: Iterable[str]) -> Iterator[Score]:
        told, region = place.scalar_map, place.region
        for name in names:
            entry = REDUCTIONS[name]
            if name == "mean_above_threshold" and told.name not in self.settings.thresholds:
                continue
            assert entry.reads is not None, f"{name} must say what it reads"
            values: RegionValues = place.read(RegionValues)
            statistic, n = place.read(entry.reads), values.values.size
            yield self._row(told, entry, statistic, structure=place.structure, region=region.name, n=n)

    def _row(
        self, told: ScalarMap, entry: Entry[Reduction], statistic: Any, *, structure: str, region: str, n: int
    ) -> Score:
        return Score(
            subject=self.subject,
            structure=structure,
            measure=told.name,
            region=region,
            reduction=entry.name + self._setting(entry, told),
            value=entry.function(statistic),
            unit="1" if entry.unit == RATIO else _times(told.unit, entry.unit),
            higher_is="neither" if entry.unit == RATIO else _direction(told) or "neither",
            n=n,
        )

    def _setting(self, entry: Entry[Reduction], told: ScalarMap) -> str:
        """What the name of a row adds to that of its reduction."""
        if entry.name == "mean_above_threshold":
            return f"_{self.settings.thresholds[told.name]:g}"
        return f"_{self.settings.patch_mm:g}_mm" if entry.reads is PatchSums else ""


@dataclass(frozen=True, slots=True)
class _Distances:
    """Distances of a region's voxels to the boundary, found once for all maps."""

    masks: CaseMasks
    region: Region
    found: dict[str, np.ndarray] = field(default_factory=dict)

    def of(self, structure: str) -> np.ndarray:
        """To the boundary of a structure, or of any."""
        if structure not in self.found:
            self.found[structure] = boundary_distances(self.masks, self.region, structure=structure)
        return self.found[structure]


@dataclass(frozen=True, slots=True)
class _Place:
    """One frame of a map in one region, as each reduction wants to read it."""

    scalar_map: ScalarMap
    structure: str
    region: Region
    distances: _Distances
    reader: _Reader
    read_before: dict[type, Any] = field(default_factory=dict)

    def read(self, kind: type) -> Any:
        """Return the statistic of this type; made once."""
        if kind not in self.read_before:
            make: dict[type, Callable[[], Any]] = {
                RegionValues: self._values,
                RegionMap: self._map,
                PatchSums: self._patches,
                DistanceValues: self._distances,
            }
            self.read_before[kind] = make[kind]()
        return self.read_before[kind]

    def _values(self) -> RegionValues:
        reader = self.reader
        return RegionValues(
            self.region.read(self.scalar_map.frame(self.structure)),
            reader.masks.geometry.voxel_volume_ml,
            reader.foreground.get(self.structure, reader.foreground[""]),
            reader.settings.thresholds.get(self.scalar_map.name, math.nan),
        )

    def _map(self) -> RegionMap:
        geometry, (_, upper) = self.scalar_map.geometry, self.scalar_map.valid_range
        return RegionMap(self.scalar_map.frame(self.structure), self.region, geometry.spacing_mm, upper)

    def _patches(self) -> PatchSums:
        frame, settings = self.scalar_map.frame(self.structure), self.reader.settings
        return patch_sums(frame, self.region, self.scalar_map.geometry, patch_mm=settings.patch_mm)

    def _distances(self) -> DistanceValues:
        values: RegionValues = self.read(RegionValues)
        return DistanceValues(values.values, self.distances.of(self.structure))


def _means(parts: Sequence[RegionValues]) -> RegionMeans:
    mean = REDUCTIONS["mean"].function
    voxels = np.array([part.values.size for part in parts], dtype=np.int64)
    return RegionMeans(np.array([mean(part) for part in parts], dtype=np.float64), voxels)


def _direction(scalar_map: ScalarMap) -> Direction | None:
    """What a higher value means; None for a measure that tells no uncertainty."""
    if scalar_map.name not in VOXEL_MEASURES:
        return "neither"
    known = VOXEL_MEASURES[scalar_map.name].higher_is
    return None if known == "neither" else known


def _times(unit: str, other: str) -> str:
    """Product of two units, of which "1" says none."""
    return "·".join(part for part in (unit, other) if part != "1") or "1"
