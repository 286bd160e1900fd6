"""Drawn contours to planes, slabs and voxels: what a planning system's loops say about a grid."""

from plausible.contours.coverage import plane_coverage
from plausible.contours.planes import Plane, Planes, contour_planes
from plausible.contours.rasterise import rasterise

__all__ = ["Plane", "Planes", "contour_planes", "plane_coverage", "rasterise"]
