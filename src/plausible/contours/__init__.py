"""Drawn contours to planes, slabs and voxels: what a planning system's loops say about a grid."""

from plausible.contours.coverage import plane_coverage
from plausible.contours.planes import FLAT_MM, Plane, Planes, contour_planes, reach_mm
from plausible.contours.rasterise import HALF, rasterise

__all__ = ["FLAT_MM", "HALF", "Plane", "Planes", "contour_planes", "plane_coverage", "rasterise", "reach_mm"]
