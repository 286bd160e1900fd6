"""A phantom whose dose uncertainty is known exactly: two solids in a linear dose, each with plausible contours.

- `Cylinder` (radius 12 mm, length 24 mm along foot-head): members are shifted rigidly by N(0, 3 mm) along the gradient.
  Every D_x and the mean dose are normal with a standard deviation of 3 mm times the gradient; the volume is fixed.
- `Ball`: members are concentric with a radius of N(10 mm, 1 mm). The mean dose is fixed; D_x is normal with a standard
  deviation of gradient times k_x times 1 mm, where (1 - k)² (2 + k) / 4 = x.

The dose is 40 Gy at the centre of both and rises by 1 Gy a mm towards the head. Members are soft, as networks' are: the
signed distance to the surface through a logistic edge, so that a surface lies where the probability is one half.

Source: solids and dose after Nelms et al. 2015, doi:10.1118/1.4923175; plausible contours: unpublished.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Float32, Float64
from scipy import stats

from plausible.core import Classes, Dose, Geometry, Image, MemberInfo, Members

CENTRE_GY, GRADIENT_GY_PER_MM = 40.0, 1.0
RADIUS_MM, HALF_LENGTH_MM, SHIFT_SD_MM = 12.0, 12.0, 3.0
BALL_RADIUS_MM, BALL_SD_MM = 10.0, 1.0
APART_MM = 30.0
EDGE_MM = 0.8
STRUCTURES = ("Cylinder", "Ball")


@dataclass(frozen=True, slots=True, eq=False)
class DosePhantom:
    """The phantom: what a planning system and a network would give of it, and what the truth is.

    Attributes:
        image: an image in which the solids can be seen.
        members: plausible contours of both solids.
        dose: on a grid of its own.
        shifts_mm: of the cylinder in each member.
        radii_mm: of the ball in each member.
    """

    image: Image
    members: Members
    dose: Dose
    shifts_mm: Float64[np.ndarray, " m"]
    radii_mm: Float64[np.ndarray, " m"]


def dose_phantom(
    *, n_members: int = 40, seed: int = 0, spacing_mm: tuple[float, float, float] = (1.5, 1.5, 2.0)
) -> DosePhantom:
    """Return the phantom with so many members.

    Args:
        n_members: at least 1.
        seed: of shifts, radii and the image's noise.
        spacing_mm: of image and members; the dose has its own grid of 2.5 mm.

    Raises:
        ValueError: fewer than one member.
    """
    if n_members < 1:
        raise ValueError(f"a phantom needs at least one member, got {n_members}")
    rng = np.random.default_rng(seed)
    shifts, radii = rng.normal(0, SHIFT_SD_MM, n_members), rng.normal(BALL_RADIUS_MM, BALL_SD_MM, n_members)
    geometry = _grid((100.0, 56.0, 72.0), spacing_mm)
    points = _centres(geometry)
    arrays = [_probabilities(points, shift, radius) for shift, radius in zip(shifts, radii, strict=True)]
    classes = Classes.exclusive_of({"background": 0, **{name: n for n, name in enumerate(STRUCTURES, start=1)}})
    infos = [MemberInfo(id=f"member_{m:02}", kind="draw", draw=m) for m in range(n_members)]
    members = Members.from_arrays(arrays, geometry=geometry, classes=classes, subject="phantom", infos=infos)
    return DosePhantom(_image(points, geometry, rng), members, _dose(), shifts, radii)


def probability_mean_dose_above(limit_gy: float) -> float:
    """True probability that the cylinder's mean dose exceeds a limit: Φ((40 - limit) / 3)."""
    return float(stats.norm.cdf((CENTRE_GY - limit_gy) / (SHIFT_SD_MM * GRADIENT_GY_PER_MM)))


def _grid(size_mm: tuple[float, float, float], spacing_mm: tuple[float, float, float]) -> Geometry:
    """Grid around the origin of the world, which lies between voxels."""
    i, j, k = (round(size / step) for size, step in zip(size_mm, spacing_mm, strict=True))
    affine = np.diag([*spacing_mm, 1.0])
    affine[:3, 3] = -0.5 * (np.array([i, j, k]) - 1) * spacing_mm
    return Geometry((i, j, k), affine)


def _centres(geometry: Geometry) -> Float64[np.ndarray, "3 i j k"]:
    steps = [start + step * np.arange(n) for start, step, n in
             zip(geometry.affine[:3, 3], geometry.spacing_mm, geometry.shape, strict=True)]  # fmt: skip
    return np.stack(np.meshgrid(*steps, indexing="ij"))


def _probabilities(
    points: Float64[np.ndarray, "3 i j k"], shift_mm: float, radius_mm: float
) -> Float32[np.ndarray, "3 i j k"]:
    inside = np.stack([_cylinder_depth(points, shift_mm), _ball_depth(points, radius_mm)])
    found = 1 / (1 + np.exp(-np.clip(inside / EDGE_MM, -30, 30)))
    return np.concatenate([1 - found.sum(axis=0, keepdims=True), found]).astype(np.float32)


def _cylinder_depth(points: Float64[np.ndarray, "3 i j k"], shift_mm: float) -> Float64[np.ndarray, "i j k"]:
    """Distance below the cylinder's surface in mm, negative outside."""
    x, y, z = points
    across = np.hypot(x + APART_MM / 2 + 5, y) - RADIUS_MM
    along = np.abs(z - shift_mm) - HALF_LENGTH_MM
    outside = np.hypot(np.maximum(across, 0), np.maximum(along, 0))
    return -(outside + np.minimum(np.maximum(across, along), 0))


def _ball_depth(points: Float64[np.ndarray, "3 i j k"], radius_mm: float) -> Float64[np.ndarray, "i j k"]:
    x, y, z = points
    return radius_mm - np.sqrt((x - APART_MM / 2 - 5) ** 2 + y**2 + z**2)


def _image(points: Float64[np.ndarray, "3 i j k"], geometry: Geometry, rng: np.random.Generator) -> Image:
    """Two solids in water with noise, in numbers like Hounsfield units."""
    solids = _probabilities(points, 0.0, BALL_RADIUS_MM)[1:]
    values: Float[np.ndarray, "i j k"] = 60 * solids.sum(axis=0) + rng.normal(0, 12, geometry.shape)
    return Image(values[None].astype(np.float32), geometry, ("CT",))


def _dose() -> Dose:
    geometry = _grid((120.0, 80.0, 100.0), (2.5, 2.5, 2.5))
    height = _centres(geometry)[2]
    return Dose(np.maximum(CENTRE_GY + GRADIENT_GY_PER_MM * height, 0).astype(np.float32), geometry)
