"""A toy model of photon beamlets: parallel rays, exponential depth dose, edges blurred like an error function.

d(v, b) = exp(-μ z(v)) · E(u(v) - u_b) · E(w(v) - w_b),   E(t) = ½ [erf((t + h) / (σ√2)) - erf((t - h) / (σ√2))]

z is the water-equivalent depth along the beam, u and w the distance across it, h half a beamlet's width. No scatter, no
build-up, no divergence: it serves tests, demonstrations and machines without a planning system, not patients.

Gantry angles are IEC 61217 for a patient lying head first, supine: 0° shines from the front, 90° from the left side of
the patient.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Float64, Int64
from scipy.ndimage import affine_transform, map_coordinates
from scipy.sparse import coo_array, csr_array
from scipy.special import erf

from plausible.core import Geometry
from plausible.dose.plan.influence import Influence, centres_mm

CUT_SIGMAS = 3.0
"""Beyond its edge by so many σ a beamlet gives nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BeamSettings:
    """Beams, and the beamlets they are cut into.

    Attributes:
        angles_deg: gantry angles.
        beamlet_mm: width of a beamlet at the isocentre.
        margin_mm: beamlets reach this far beyond the union of the plausible targets.
        attenuation_per_mm: μ of the toy model, in water.
        penumbra_mm: σ of the toy model's edges.
    """

    angles_deg: tuple[float, ...] = (0.0, 40.0, 80.0, 120.0, 160.0, 200.0, 240.0, 280.0, 320.0)
    beamlet_mm: float = 10.0
    margin_mm: float = 5.0
    attenuation_per_mm: float = 0.005
    penumbra_mm: float = 3.0

    def __post_init__(self) -> None:
        if not self.angles_deg:
            raise ValueError("at least one beam is needed, got no angles_deg")
        if not (self.beamlet_mm > 0 and self.penumbra_mm > 0 and self.margin_mm >= 0 and self.attenuation_per_mm >= 0):
            raise ValueError(
                "beamlet_mm and penumbra_mm must be above 0, margin_mm and attenuation_per_mm at least 0, got "
                f"{self.beamlet_mm}, {self.penumbra_mm}, {self.margin_mm} and {self.attenuation_per_mm}"
            )


@dataclass(frozen=True, slots=True, eq=False)
class Beam:
    """One beam's frame, and the columns of its beamlets.

    Attributes:
        along: direction in which the beam travels, of length one, in world coordinates.
        across: unit vectors u and w across it.
        isocentre_mm: where u and w are 0.
        column: number of the beamlet at each place of the lattice, -1 where there is none.
        first: place (u, w) of the lattice's first node, in beamlet widths.
    """

    along: Float64[np.ndarray, "3"]
    across: Float64[np.ndarray, "2 3"]
    isocentre_mm: Float64[np.ndarray, "3"]
    column: Int64[np.ndarray, "u w"]
    first: Int64[np.ndarray, "2"]

    def lattice(self, points_mm: Float64[np.ndarray, "n 3"], *, beamlet_mm: float | int) -> Float64[np.ndarray, "n 2"]:
        """Places of points across the beam, in beamlet widths."""
        return (points_mm - self.isocentre_mm) @ self.across.T / beamlet_mm

    @property
    def n_beamlets(self) -> int:
        """Beamlets of this beam."""
        return int((self.column >= 0).sum())


def beams_on(targets_mm: Float64[np.ndarray, "n 3"], settings: BeamSettings) -> tuple[Beam, ...]:
    """Cut each beam into beamlets that cover points of the targets; columns are numbered through all beams.

    Raises:
        ValueError: no points.
    """
    if not len(targets_mm):
        raise ValueError("no target to shine on")
    isocentre = (targets_mm.min(axis=0) + targets_mm.max(axis=0)) / 2
    beams, n_before = list[Beam](), 0
    for angle in settings.angles_deg:
        sine, cosine = np.sin(np.deg2rad(angle)), np.cos(np.deg2rad(angle))
        across = np.array([[cosine, sine, 0.0], [0.0, 0.0, 1.0]])
        places = (targets_mm - isocentre) @ across.T / settings.beamlet_mm
        nodes = _covering(places, settings.margin_mm / settings.beamlet_mm)
        first = nodes.min(axis=0)
        column = np.full(tuple(nodes.max(axis=0) - first + 1), -1, dtype=np.int64)
        column[tuple((nodes - first).T)] = n_before + np.arange(len(nodes))
        n_before += len(nodes)
        beams.append(Beam(np.array([sine, -cosine, 0.0]), across, isocentre, column, first))
    return tuple(beams)


def analytic_influence(
    targets_mm: Float64[np.ndarray, "n 3"],
    *,
    geometry: Geometry,
    body: Bool[np.ndarray, "i j k"],
    density: Float[np.ndarray, "i j k"] | None = None,
    settings: BeamSettings,
) -> Influence:
    """Dose-influence matrix of the toy model.

    Args:
        targets_mm: points of the union of all plausible targets.
        geometry: the dose grid.
        body: the patient on the dose grid; dose is computed there.
        density: relative to water on the dose grid; without it the body is water.
        settings: beams and the model's two numbers.

    Raises:
        ValueError: no targets, or an empty body.
    """
    voxels = np.flatnonzero(body.ravel()).astype(np.int64)
    if not len(voxels):
        raise ValueError("the body has no voxel on the dose grid")
    water = np.where(body, 1.0 if density is None else density, 0.0).astype(np.float32)
    points = centres_mm(voxels, geometry)
    beams = beams_on(targets_mm, settings)
    parts = [_of_beam(beam, points, water_depth_mm(water, points, geometry, beam.along), settings) for beam in beams]
    rows, columns, values = (np.concatenate([part[n] for part in parts]) for n in range(3))
    beam_of = np.repeat(np.arange(len(beams)), [beam.n_beamlets for beam in beams]).astype(np.int64)
    matrix = csr_array(coo_array((values, (rows, columns)), shape=(len(voxels), len(beam_of)), dtype=np.float32))
    return Influence(matrix, voxels, geometry, "analytic beamlets", beam_of)


def estimate_nonzeros(beams: Sequence[Beam], points_mm: Float64[np.ndarray, "n 3"], *, beamlet_mm: float | int,
                      reach_mm: float | int) -> int:  # fmt: skip
    """Non-zeros to expect of the matrix, from how many voxels lie within a distance of each beamlet's axis.

    Args:
        beams: from `beams_on`.
        points_mm: centres of all voxels that get dose.
        beamlet_mm: width of a beamlet.
        reach_mm: half the side of the square across the beam in which a beamlet gives dose.
    """
    n = int(np.ceil(reach_mm / beamlet_mm + 0.5))
    shares = np.clip(reach_mm / beamlet_mm - (np.abs(np.arange(-n, n + 1)) - 0.5), 0, 1)
    found = 0.0
    for beam in beams:
        places = np.rint(beam.lattice(points_mm, beamlet_mm=beamlet_mm)).astype(np.int64) - beam.first + n
        size = np.asarray(beam.column.shape) + 2 * n
        near = places[((places >= 0) & (places < size)).all(axis=1)]
        counts = np.bincount(np.ravel_multi_index(tuple(near.T), tuple(size)), minlength=int(size.prod())).reshape(size)
        for axis in (0, 1):
            counts = np.apply_along_axis(np.convolve, axis, counts, shares, mode="valid")
        found += float(counts[beam.column >= 0].sum())
    return round(found)


def water_depth_mm(
    density: Float[np.ndarray, "i j k"],
    points_mm: Float64[np.ndarray, "n 3"],
    geometry: Geometry,
    along: Float64[np.ndarray, "3"],
) -> Float64[np.ndarray, " n"]:
    """Water-equivalent depth of points along a direction: density summed along rays on a grid turned into the beam."""
    step = min(geometry.spacing_mm)
    frame = np.vstack([along, np.linalg.svd(along[None])[2][1:]])
    ends = np.array(np.meshgrid(*[(-0.5, n - 0.5) for n in geometry.shape], indexing="ij")).reshape(3, -1)
    seen = frame @ (geometry.affine[:3, :3] @ ends + geometry.affine[:3, 3:])
    first = seen.min(axis=1) + step / 2
    shape = np.maximum(2, np.ceil((seen.max(axis=1) - seen.min(axis=1)) / step)).astype(int)
    world = np.linalg.inv(geometry.affine)
    turn, shift = world[:3, :3] @ frame.T, world[:3, :3] @ (frame.T @ first) + world[:3, 3]
    size = tuple(shape)
    turned = affine_transform(density, turn * step, offset=shift, output_shape=size, order=1, mode="grid-constant")
    depth = step * (np.cumsum(turned, axis=0, dtype=np.float64) - turned / 2)
    places = (points_mm @ frame.T - first) / step
    return np.asarray(map_coordinates(depth, places.T, order=1, mode="nearest"))


def _covering(places: Float64[np.ndarray, "n 2"], margin: float) -> Int64[np.ndarray, "b 2"]:
    """Nodes of the lattice whose square lies within a margin of any place."""
    reach = [np.unique(np.rint(places + np.array(side) * margin).astype(np.int64), axis=0)
             for side in ((-1, -1), (-1, 0), (-1, 1), (0, -1), (0, 0), (0, 1), (1, -1), (1, 0), (1, 1))]  # fmt: skip
    return np.unique(np.concatenate(reach), axis=0)


def _of_beam(
    beam: Beam, points_mm: np.ndarray, depth_mm: np.ndarray, settings: BeamSettings
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Rows, columns and values of one beam's part of the matrix."""
    width, sigma = settings.beamlet_mm, settings.penumbra_mm
    places = beam.lattice(points_mm, beamlet_mm=width)
    nearest = np.rint(places).astype(np.int64)
    reach = width / 2 + CUT_SIGMAS * sigma
    n = int(np.ceil(reach / width - 0.5))
    steps = np.arange(-n, n + 1)
    apart_mm = (places[:, :, None] - nearest[:, :, None] - steps) * width
    edge = _edge(apart_mm, width / 2, sigma) * (np.abs(apart_mm) <= reach)
    through = np.exp(-settings.attenuation_per_mm * depth_mm)
    found: list[tuple[np.ndarray, np.ndarray, np.ndarray]] = []
    for a, step_u in enumerate(steps):
        for b, step_w in enumerate(steps):
            node = nearest + np.array([step_u, step_w]) - beam.first
            value = through * edge[:, 0, a] * edge[:, 1, b]
            rows = np.flatnonzero(((node >= 0) & (node < beam.column.shape)).all(axis=1) & (value > 0))
            columns = beam.column[tuple(node[rows].T)]
            rows, columns = rows[columns >= 0], columns[columns >= 0]
            found.append((rows, columns, value[rows].astype(np.float32)))
    rows, columns, values = (np.concatenate([part[k] for part in found]) for k in range(3))
    return rows, columns, values


def _edge(t: np.ndarray, half: float, sigma: float) -> np.ndarray:
    return np.asarray((erf((t + half) / (sigma * np.sqrt(2))) - erf((t - half) / (sigma * np.sqrt(2)))) / 2)
