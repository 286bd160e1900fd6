"""Solids cut into contours and doses with closed forms: 24 mm wide and long, 1 Gy/mm, 16 Gy at the centre."""

import math

import numpy as np

from plausible.core import Contours, Dose, Geometry, Loop

R, LENGTH, CENTRE_GY = 12.0, 24.0, 16.0
PIXEL_MM = 0.6
AP, SI = 1, 2


def circle(radius: float, *, at: tuple[float, float] = (0.0, 0.0), z: float = 0.0, n: int = 256, kind="CLOSED_PLANAR"):
    """Polygon whose area is that of the circle."""
    angle = np.arange(n) * 2 * math.pi / n
    radius = radius * math.sqrt(2 * math.pi / n / math.sin(2 * math.pi / n))
    points = np.column_stack([at[0] + radius * np.cos(angle), at[1] + radius * np.sin(angle), np.full(n, z)])
    return Loop(points, kind)


def radius_of(solid: str, z: float) -> float:
    if solid == "sphere":
        return math.sqrt(max(R * R - z * z, 0.0))
    if solid == "cylinder":
        return R if abs(z) <= LENGTH / 2 + 1e-9 else 0.0
    return R * (LENGTH / 2 - z) / LENGTH if -LENGTH / 2 - 1e-9 <= z < LENGTH / 2 - 1e-9 else 0.0


def radii(solid: str, slices_mm: float) -> dict[float, float]:
    """Radius of every contour by its position, planes at multiples of the spacing."""
    n = round(LENGTH / slices_mm)
    found = {k * slices_mm: radius_of(solid, k * slices_mm) for k in range(-n, n + 1)}
    return {z: r for z, r in found.items() if r > 1e-6}


def contours_of(solid: str, slices_mm: float, *, n: int = 256) -> Contours:
    loops = tuple(circle(r, z=z, n=n) for z, r in radii(solid, slices_mm).items())
    return Contours(solid, 1, loops)


def image(slices_mm: float, *, pixel_mm: float = PIXEL_MM, half_mm: float = 24.0) -> Geometry:
    n, n_slices = round(2 * half_mm / pixel_mm), round(2 * half_mm / slices_mm)
    affine = np.diag([pixel_mm, pixel_mm, slices_mm, 1.0])
    affine[:3, 3] = (-half_mm + pixel_mm / 3, -half_mm, -half_mm)
    return Geometry((n, n + 1, n_slices + 2), affine)


def dose_of(function, spacing_mm: float, *, half_mm: float = 27.0) -> Dose:
    """Dose from a function of x, y, z in mm."""
    n = round(2 * half_mm / spacing_mm) + 1
    shape = (n, n + 1, n + 2)
    affine = np.diag([spacing_mm] * 3 + [1.0])
    affine[:3, 3] = -half_mm
    x, y, z = np.indices(shape) * spacing_mm - half_mm
    return Dose((function(x, y, z) * np.ones(shape)).astype(np.float32), Geometry(shape, affine))


def linear_dose(spacing_mm: float, axis: int) -> Dose:
    return dose_of(lambda *place: CENTRE_GY + place[axis], spacing_mm)


def inverse(volume, share: float, low: float, high: float) -> float:
    """Dose at which a falling curve reaches a share of its start."""
    from scipy.optimize import brentq

    total = volume(low)
    return float(brentq(lambda dose: volume(dose) - share * total, low, high, xtol=1e-10))


def slab_curve(solid: str, slices_mm: float, axis: int):
    """Volume in mm³ receiving at least a dose, of slabs around the contour planes, in closed form."""
    parts = radii(solid, slices_mm)

    def across(dose: float) -> float:
        total = 0.0
        for r in parts.values():
            t = min(max(dose - CENTRE_GY, -r), r)
            total += slices_mm * (r * r * math.acos(t / r) - t * math.sqrt(r * r - t * t))
        return total

    def along(dose: float) -> float:
        t = dose - CENTRE_GY
        return sum(math.pi * r * r * min(max(z + slices_mm / 2 - t, 0.0), slices_mm) for z, r in parts.items())

    return across if axis == AP else along
