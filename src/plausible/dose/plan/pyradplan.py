"""The dose-influence matrix of pyRadPlan's photon pencil beam (extra `plan`): real physics, for research.

pyRadPlan works on grids along the axes of the patient (LPS). The image is sampled there; for images whose axes are the
patient's, which is nearly all, that only turns axes. Couch angles are 0 and the machine is pyRadPlan's generic one.
"""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import metadata
from typing import Any, Literal

import numpy as np
from jaxtyping import Bool, Float, Float64
from scipy.ndimage import map_coordinates
from scipy.sparse import csr_array

from plausible.core import Geometry, UnfitEnvironment, missing_extra
from plausible.core.problems import Problem
from plausible.dose.plan.beamlets import BeamSettings
from plausible.dose.plan.influence import Influence, dose_grid

AIR_HU = -1000.0
AIR_BEAMLETS = 3
"""Beamlet widths of air around the image. Targets that reach its last slice have rays beside it, on which pyRadPlan 0.5
fails ("operands could not be broadcast together" in its `_compute_ssd`)."""
LATERAL_REACH_MM = 50.0
"""Half of the side within which pyRadPlan gives a beamlet dose, by its default lateral cut-off."""
BREAKS_FROM = (2, 14)
"""pydantic from this version on breaks pyRadPlan's beamlets while a dose is computed."""


def pyradplan_influence(
    image_hu: Float[np.ndarray, "i j k"],
    *,
    geometry: Geometry,
    target: Bool[np.ndarray, "i j k"],
    body: Bool[np.ndarray, "i j k"],
    spacing_mm: float | int,
    settings: BeamSettings,
) -> Influence:
    """Compute the matrix with pyRadPlan: photons of 6 MV, pencil beam by singular values, generic machine.

    Args:
        image_hu: CT in Hounsfield units.
        geometry: grid of the image and the masks.
        target: union of all plausible targets; beamlets cover it.
        body: the patient; dose is computed there.
        spacing_mm: of the dose grid.
        settings: angles and width of the beamlets; the toy model's numbers do not count.

    Raises:
        UnfitEnvironment: E901, pyRadPlan is not installed; E650, with a pydantic that breaks it.
        ValueError: an empty target or body.
    """
    planner = _package()
    if not target.any() or not body.any():
        raise ValueError("pyRadPlan needs a target and a body with voxels")
    grid = in_air(patient_grid(geometry), margin_mm=AIR_BEAMLETS * settings.beamlet_mm)
    ct, structures = _patient(image_hu, target, body, geometry, grid)
    on = dose_grid(grid, spacing_mm=spacing_mm)
    plan = planner.PhotonPlan(machine="Generic")
    angles = np.asarray(settings.angles_deg, dtype=float)
    plan.prop_stf = {
        "gantry_angles": angles,
        "couch_angles": np.zeros_like(angles),
        "bixel_width": settings.beamlet_mm,
    }
    plan.prop_dose_calc = {"dose_grid": _grid(on)}
    with _silence():
        beams = planner.generate_stf(ct, structures, plan)
        found = planner.calc_dose_influence(ct, structures, beams, plan)
    return _influence(found, on)


def patient_grid(geometry: Geometry) -> Geometry:
    """Grid along the patient's axes (left, posterior, superior) that covers an image, with its spacing.

    For an image whose axes are the patient's, in any order and direction, its voxels are those of the image.
    """
    directions = np.abs(geometry.affine[:3, :3]) / np.asarray(geometry.spacing_mm)
    axis_of = [int(np.argmax(directions[world])) for world in range(3)]
    if len(set(axis_of)) < 3:
        axis_of = [0, 1, 2]
    spacing = np.asarray(geometry.spacing_mm)[axis_of]
    ends = np.array(np.meshgrid(*[(0, n - 1) for n in geometry.shape], indexing="ij")).reshape(3, -1)
    world = geometry.affine[:3, :3] @ ends + geometry.affine[:3, 3:]
    low, high = world.min(axis=1), world.max(axis=1)
    shape = np.rint((high - low) / spacing + 0.499).astype(int) + 1
    shape = np.where(np.isclose((shape - 2) * spacing, high - low, atol=1e-3), shape - 1, shape)
    affine = np.diag([-spacing[0], -spacing[1], spacing[2], 1.0])
    affine[:3, 3] = high[0], high[1], low[2]
    return Geometry((int(shape[0]), int(shape[1]), int(shape[2])), affine)


def in_air(grid: Geometry, *, margin_mm: float) -> Geometry:
    """Grid with a margin on all sides; its voxels are those of the first, and more."""
    more = [math.ceil(margin_mm / spacing) for spacing in grid.spacing_mm]
    affine = grid.affine.copy()
    affine[:3, 3] -= affine[:3, :3] @ np.array(more, dtype=float)
    i, j, k = (n + 2 * m for n, m in zip(grid.shape, more, strict=True))
    return Geometry((i, j, k), affine)


def _package() -> Any:
    try:
        import pydantic
        import pyRadPlan
    except ImportError as error:
        raise missing_extra("pyRadPlan", extra="plan") from error
    if tuple(int(part) for part in pydantic.VERSION.split(".")[:2]) >= BREAKS_FROM:
        raise UnfitEnvironment(
            Problem(
                code="E650",
                found=f"pydantic {pydantic.VERSION} beside pyRadPlan",
                expected="pydantic below 2.14; later ones break pyRadPlan's dose calculation",
                fix='pip install "plausible[plan]"',
            )
        )
    return pyRadPlan


@contextmanager
def _silence() -> Iterator[None]:
    """Keep pyRadPlan's progress bars off the terminal; ours says which plan is being made."""
    from pyRadPlan.core import ProgressReporter

    before = ProgressReporter.console_progress
    ProgressReporter.console_progress = False
    try:
        yield
    finally:
        ProgressReporter.console_progress = before


def _patient(
    image_hu: np.ndarray, target: np.ndarray, body: np.ndarray, geometry: Geometry, grid: Geometry
) -> tuple[Any, Any]:
    """CT and structure set of pyRadPlan on the patient's grid."""
    from pyRadPlan.cst import StructureSet, validate_voi
    from pyRadPlan.ct import CT

    ct = CT(cube_hu=_picture(_sampled(image_hu, geometry, grid, order=1, outside=AIR_HU), grid))
    told = (("target", "TARGET", target), ("body", "EXTERNAL", body))
    regions = [
        validate_voi(name=name, voi_type=kind, ct_image=ct,
                     mask=_picture(_sampled(mask, geometry, grid, order=0, outside=0.0).astype(np.uint8), grid))
        for name, kind, mask in told
    ]  # fmt: skip
    return ct, StructureSet(vois=regions, ct_image=ct)


def _sampled(values: np.ndarray, geometry: Geometry, grid: Geometry, *, order: int, outside: float) -> np.ndarray:
    """Values of an image at the voxels of another grid."""
    turn = np.linalg.inv(geometry.affine) @ grid.affine
    places = np.indices(grid.shape).reshape(3, -1)
    at: np.ndarray = np.round(turn[:3, :3] @ places + turn[:3, 3:], 6)
    how: Literal[0, 1] = 1 if order else 0
    found = map_coordinates(values.astype(np.float32), at, order=how, mode="constant", cval=outside)
    return np.asarray(found).reshape(grid.shape)


def _picture(values: np.ndarray, grid: Geometry) -> Any:
    """Image of SimpleITK, whose world is LPS and whose arrays are k j i."""
    import SimpleITK

    picture = SimpleITK.GetImageFromArray(np.ascontiguousarray(values.transpose(2, 1, 0)))
    picture.SetSpacing(grid.spacing_mm)
    picture.SetOrigin([float(-grid.affine[0, 3]), float(-grid.affine[1, 3]), float(grid.affine[2, 3])])
    return picture


def _grid(grid: Geometry) -> Any:
    from pyRadPlan.core import Grid

    x, y, z = grid.spacing_mm
    origin = np.array([-grid.affine[0, 3], -grid.affine[1, 3], grid.affine[2, 3]])
    return Grid(resolution={"x": x, "y": y, "z": z}, dimensions=grid.shape, origin=origin)


def _influence(found: Any, on: Geometry) -> Influence:
    """Rows with dose, in our order of voxels."""
    by_rows = csr_array(found.physical_dose.flat[0]).astype(np.float32)
    filled = np.flatnonzero(np.diff(by_rows.indptr))
    k, j, i = np.unravel_index(filled, on.shape[::-1])
    voxels = np.ravel_multi_index((i, j, k), on.shape).astype(np.int64)
    order = np.argsort(voxels)
    version = metadata.version("pyRadPlan")
    beam_of: Float64[np.ndarray, " b"] = np.asarray(found.beam_num)
    return Influence(
        csr_array(by_rows[filled[order]]), voxels[order], on, f"pyRadPlan {version} photons", beam_of.astype(np.int64)
    )
