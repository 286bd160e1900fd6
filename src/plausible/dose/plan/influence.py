"""The dose-influence matrix: what each beamlet of weight 1 gives each voxel of a dose grid.

One matrix serves all plans of a case, because its beamlets cover the union of all plausible targets. The search looks
at part of its rows only; the dose of a finished plan is computed from all of them.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float64, Int64
from scipy.sparse import csr_array

from plausible.core import Dose, Geometry
from plausible.dose.plan.solver import PlanningRows


@dataclass(frozen=True, slots=True, eq=False)
class Influence:
    """Dose in Gy per unit of weight: rows are voxels of the dose grid, columns beamlets.

    Attributes:
        matrix: by rows, float32.
        voxels: flat index (C order) on the dose grid of each row, ascending; other voxels receive nothing.
        geometry: the dose grid.
        engine: what computed it, with its version, for provenance.
        beam_of: number of the beam of each beamlet.
    """

    matrix: csr_array
    voxels: Int64[np.ndarray, " n"]
    geometry: Geometry
    engine: str
    beam_of: Int64[np.ndarray, " b"]

    def __post_init__(self) -> None:
        if self.matrix.shape != (len(self.voxels), len(self.beam_of)) or self.matrix.dtype != np.float32:
            raise ValueError(
                f"a float32 matrix of {len(self.voxels)} x {len(self.beam_of)} is needed, got {self.matrix.dtype} "
                f"{self.matrix.shape}"
            )

    @property
    def n_beamlets(self) -> int:
        """Number of beamlets."""
        return len(self.beam_of)

    @property
    def n_bytes(self) -> int:
        """Memory of the matrix."""
        return int(self.matrix.data.nbytes + self.matrix.indices.nbytes + self.matrix.indptr.nbytes)

    def centres_mm(self) -> Float64[np.ndarray, "n 3"]:
        """World coordinates of each row's voxel."""
        return centres_mm(self.voxels, self.geometry)

    def planning_rows(self, rows: Int64[np.ndarray, " r"]) -> PlanningRows:
        """Return the part of the matrix that a search looks at."""
        return PlanningRows(csr_array(self.matrix[rows]))

    def dose(self, weights: Float64[np.ndarray, " b"]) -> Dose:
        """Dose of a plan on the whole grid."""
        values = np.zeros(self.geometry.n_voxels, dtype=np.float32)
        values[self.voxels] = self.matrix @ weights.astype(np.float32)
        return Dose(values.reshape(self.geometry.shape), self.geometry)


def choose_rows(inside_any: Bool[np.ndarray, " n"], *, body_share: float | int, seed: int) -> Int64[np.ndarray, " r"]:
    """Rows that the search looks at: all that lie in a structure of any contouring, and some of the rest of the body.

    Args:
        inside_any: whether each row lies in any structure of any contouring.
        body_share: share of the other rows, drawn at random; 1 keeps all.
        seed: of the draw.

    Raises:
        ValueError: a share outside 0 to 1.
    """
    if not 0 <= body_share <= 1:
        raise ValueError(f"body_share must lie in 0 to 1, got {body_share}")
    others = np.flatnonzero(~inside_any)
    kept = np.random.default_rng(seed).choice(others, size=round(body_share * len(others)), replace=False)
    return np.sort(np.concatenate([np.flatnonzero(inside_any), kept])).astype(np.int64)


def centres_mm(voxels: Int64[np.ndarray, " n"], geometry: Geometry) -> Float64[np.ndarray, "n 3"]:
    """World coordinates of voxels given by flat index."""
    places = np.stack(np.unravel_index(voxels, geometry.shape), axis=1).astype(np.float64)
    return geometry.to_world_mm(places)


def dose_grid(geometry: Geometry, *, spacing_mm: float | int) -> Geometry:
    """Grid over the same volume along the same axes, with cubes of a side in mm.

    Raises:
        ValueError: a spacing that is not above 0.
    """
    if not spacing_mm > 0:
        raise ValueError(f"the spacing of the dose grid must be above 0 mm, got {spacing_mm}")
    extent = np.asarray(geometry.shape) * np.asarray(geometry.spacing_mm)
    shape = np.maximum(1, np.ceil(extent / spacing_mm - 1e-6)).astype(int)
    affine = geometry.affine.copy()
    affine[:3, :3] *= spacing_mm / np.asarray(geometry.spacing_mm)
    corner = geometry.affine @ np.array([-0.5, -0.5, -0.5, 1.0])
    affine[:3, 3] = corner[:3] + affine[:3, :3] @ np.full(3, 0.5)
    return Geometry((int(shape[0]), int(shape[1]), int(shape[2])), affine)
