"""What runs once per cell and voxel of a dose-volume histogram, compiled.

Import this module where it is needed, not before: it loads numba. Kernels run in one thread and release Python's lock.
"""

import math
from typing import Any

import numpy as np
from numba import float32, float64, int64, njit, types, void

from plausible.core.compiled import compiled

DOSE = types.Array(float32, 3, "C", readonly=True)
MATRIX = types.Array(float64, 2, "C", readonly=True)
POINTS = types.Array(float64, 2, "C", readonly=True)
VALUES = types.Array(float64, 1, "C", readonly=True)


@njit(inline="always")
def _within(value: float, low: float, high: float) -> float:
    return min(max(value, low), high)


@njit(inline="always")
def _axis(value: float, size: int) -> Any:
    inside = min(max(value, 0.0), size - 1.0)
    low = min(int(inside), max(size - 2, 0))
    return low, min(low + 1, size - 1), inside - low


@njit(inline="always")
def _trilinear(dose: Any, x: float, y: float, z: float) -> float:
    """Dose at a point in voxels of the grid; beyond the outermost centres that of the nearest. Exact on a constant."""
    i, i1, a = _axis(x, dose.shape[0])
    j, j1, b = _axis(y, dose.shape[1])
    k, k1, c = _axis(z, dose.shape[2])
    d00 = dose[i, j, k] + c * (np.float64(dose[i, j, k1]) - dose[i, j, k])
    d01 = dose[i, j1, k] + c * (np.float64(dose[i, j1, k1]) - dose[i, j1, k])
    d10 = dose[i1, j, k] + c * (np.float64(dose[i1, j, k1]) - dose[i1, j, k])
    d11 = dose[i1, j1, k] + c * (np.float64(dose[i1, j1, k1]) - dose[i1, j1, k])
    d0 = d00 + b * (d01 - d00)
    d1 = d10 + b * (d11 - d10)
    return d0 + a * (d1 - d0)


@compiled(void(DOSE, POINTS, float64[::1]))
def trilinear(dose: Any, points: Any, found: Any) -> None:
    """Dose at points in voxels of its grid."""
    for n in range(points.shape[0]):
        found[n] = _trilinear(dose, points[n, 0], points[n, 1], points[n, 2])


@compiled(void(DOSE, MATRIX, POINTS, VALUES, POINTS, float64[::1], float64[::1]))
def trilinear_cells(dose: Any, matrix: Any, centres: Any, scale: Any, size: Any, found: Any, half_width: Any) -> None:
    """Dose at the centre of each cell, and half the width of the uniform distribution with the variance in it.

    `matrix` (3 × 4) leads from the frame of the cells to voxels of the dose. A cell's size along the first two axes of
    the frame is `size[n]`'s times `scale[n]`, along the third `size[n]`'s.
    """
    for n in range(centres.shape[0]):
        u, v, w = centres[n, 0], centres[n, 1], centres[n, 2]
        x = matrix[0, 0] * u + matrix[0, 1] * v + matrix[0, 2] * w + matrix[0, 3]
        y = matrix[1, 0] * u + matrix[1, 1] * v + matrix[1, 2] * w + matrix[1, 3]
        z = matrix[2, 0] * u + matrix[2, 1] * v + matrix[2, 2] * w + matrix[2, 3]
        found[n] = _trilinear(dose, x, y, z)
        total = 0.0
        for axis in range(3):
            half = 0.5 * size[n, axis] * (scale[n] if axis < 2 else 1.0)
            p, q, r = half * matrix[0, axis], half * matrix[1, axis], half * matrix[2, axis]
            change = _trilinear(dose, x + p, y + q, z + r) - _trilinear(dose, x - p, y - q, z - r)
            total += change * change
        half_width[n] = 0.5 * math.sqrt(total)  # √(3 · Σ Δ² / 12)


@compiled(int64(VALUES, VALUES, VALUES, float64[::1], float64[::1]))
def cumulate(kinks: Any, slopes: Any, jumps: Any, doses: Any, volumes: Any) -> int:
    """Integrate a curve from its hottest kink down: write doses (falling) and volumes (rising), return how many."""
    n_points, volume, slope, last = 0, 0.0, 0.0, 0.0
    for n in range(kinks.size):
        if n:
            volume = max(volume + slope * (last - kinks[n]), volume)
        last = kinks[n]
        if n_points == 0 or doses[n_points - 1] != last:
            doses[n_points], volumes[n_points] = last, volume
            n_points += 1
        if jumps[n] > 0:
            volume += jumps[n]
            if n_points > 1 and doses[n_points - 2] == last:
                volumes[n_points - 1] = volume
            else:
                doses[n_points], volumes[n_points] = last, volume
                n_points += 1
        slope += slopes[n]
    return n_points


@compiled(void(float64, float64, VALUES, VALUES, VALUES, float64[::1], float64[::1]))
def add_to_nodes(
    start: float, step: float, centre: Any, half_width: Any, volume: Any, curvature: Any, jump: Any
) -> None:
    """Add cells to a curve on equidistant doses, on which it is exact: see `plausible.dose.dvh_on_doses`."""
    for n in range(centre.size):
        low, high = (centre[n] - half_width[n] - start) / step, (centre[n] + half_width[n] - start) / step
        first, last = math.floor(low), math.floor(high)
        if last - first > 4:
            bend = volume[n] / (high - low)
            a, b = low - first, high - last
            curvature[first] -= bend * (1 - a)
            curvature[first + 1] -= bend * a
            curvature[last] += bend * (1 - b)
            curvature[last + 1] += bend * b
        elif last == first or half_width[n] == 0:
            jump[math.floor(low + 1e-9)] += volume[n]
        else:
            for node in range(first, last + 1):
                inside = _within(high, node, node + 1) - _within(low, node, node + 1)
                jump[node] += volume[n] * inside / (high - low)


@njit(inline="always")
def _spline_weights(weights: Any) -> None:
    """Weights of five coefficients at the centres of the four parts of a voxel."""
    for part in range(4):
        x = (part + 0.5) / 4 - 0.5
        for tap in range(5):
            distance = abs(x - (tap - 2))
            if distance < 1:
                weights[part, tap] = 2 / 3 - distance * distance * (1 - distance / 2)
            elif distance < 2:
                weights[part, tap] = (2 - distance) ** 3 / 6
            else:
                weights[part, tap] = 0.0


@njit(inline="always")
def _spline_in_voxel(coefficients: Any, place: Any, weights: Any, along_k: Any, along_j: Any, inside: Any) -> int:
    """Whether the spline is positive at the centre of each of the 4 × 4 × 4 parts of a voxel; return in how many."""
    i, j, k = place[0], place[1], place[2]
    for a in range(5):
        for b in range(5):
            for p in range(4):
                total = 0.0
                for tap in range(5):
                    total += weights[p, tap] * coefficients[i + a, j + b, k + tap]
                along_k[a, b, p] = total
        for q in range(4):
            for p in range(4):
                total = 0.0
                for tap in range(5):
                    total += weights[q, tap] * along_k[a, tap, p]
                along_j[a, q, p] = total
    n_inside = 0
    for r in range(4):
        for q in range(4):
            for p in range(4):
                total = 0.0
                for tap in range(5):
                    total += weights[r, tap] * along_j[tap, q, p]
                inside[r, q, p] = total > 0
                n_inside += inside[r, q, p]
    return n_inside


@njit(inline="always")
def _octant(inside: Any, octant: int, place: Any, centre: Any, edges: Any) -> int:
    """Number of parts inside in an eighth of a voxel; write the box about their centre with their second moments."""
    n = 0
    sums, squares = np.zeros(3), np.zeros(3)
    start = np.array([2 * (octant >> 2), 2 * (octant >> 1 & 1), 2 * (octant & 1)])
    for a in range(start[0], start[0] + 2):
        for b in range(start[1], start[1] + 2):
            for c in range(start[2], start[2] + 2):
                if inside[a, b, c]:
                    n += 1
                    for axis, part in enumerate((a, b, c)):
                        sums[axis] += part
                        squares[axis] += part * part
    if n:
        for axis in range(3):
            mean = sums[axis] / n
            centre[axis] = place[axis] + (mean + 0.5) / 4 - 0.5
            edges[axis] = math.sqrt(12 * max(squares[axis] / n - mean * mean, 0.0) + 1) / 4
    return n


@compiled(
    int64(
        types.Array(float64, 3, "C", readonly=True),
        types.Array(int64, 2, "C", readonly=True),
        float64[:, ::1],
        float64[:, ::1],
        float64[::1],
    )
)
def cut_voxels(coefficients: Any, voxels: Any, centres: Any, edges: Any, shares: Any) -> int:
    """Cells of the voxels that a spline may cut: the whole voxel, or what lies inside of each of its eighths.

    Writes centre, edges and share of a voxel of each cell, in voxels, and returns how many there are. An eighth that is
    cut becomes the box that spreads as far along each axis as what is inside does.
    """
    weights, along_k, along_j = np.empty((4, 5)), np.empty((5, 5, 4)), np.empty((5, 4, 4))
    inside, n_cells = np.empty((4, 4, 4), np.bool_), 0
    _spline_weights(weights)
    for n in range(voxels.shape[0]):
        n_inside = _spline_in_voxel(coefficients, voxels[n], weights, along_k, along_j, inside)
        if n_inside == 64:
            centres[n_cells], edges[n_cells], shares[n_cells] = voxels[n], 1.0, 1.0
            n_cells += 1
        elif n_inside > 0:
            for octant in range(8):
                held = _octant(inside, octant, voxels[n], centres[n_cells], edges[n_cells])
                if held:
                    shares[n_cells] = held / 64
                    n_cells += 1
    return n_cells
