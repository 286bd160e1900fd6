"""Connected components of a mask: lesions, largest first.

Which voxels touch is told, never assumed: 6 (faces), 18 (and edges) or 26 (and corners). The choice changes how many
lesions there are.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Int64, Integer
from scipy import ndimage

from plausible.core import Box

CONNECTIVITIES = (6, 18, 26)
"""Neighbours of a voxel that belong to one component with it: by faces, edges too, corners too."""


@dataclass(frozen=True, slots=True, eq=False)
class Components:
    """Connected components of a mask.

    Attributes:
        labels: number of the component at each voxel, from 1; 0 outside.
        voxels: voxels of each component, largest first.
        boxes: part of the image that holds each component.
        connectivity: neighbours that make one component: 6, 18 or 26.
    """

    labels: Integer[np.ndarray, "i j k"]
    voxels: Int64[np.ndarray, " l"]
    boxes: tuple[Box, ...]
    connectivity: int


def connected_components(mask: Bool[np.ndarray, "i j k"], *, connectivity: int) -> Components:
    """Find the components of a mask and number them by size, the largest 1; equal sizes in the order of the voxels.

    Raises:
        ValueError: a connectivity that is not 6, 18 or 26.
    """
    check_connectivity(connectivity)
    structure = ndimage.generate_binary_structure(3, CONNECTIVITIES.index(connectivity) + 1)
    found = np.empty(mask.shape, dtype=np.int32)
    n = ndimage.label(mask, structure=structure, output=found)
    sizes = np.bincount(found.ravel(), minlength=n + 1)[1:]
    order = np.argsort(-sizes, kind="stable")
    number = np.zeros(n + 1, dtype=np.int32)
    number[order + 1] = np.arange(1, n + 1)
    boxes = ndimage.find_objects(found) if n else []
    return Components(number[found], sizes[order].astype(np.int64), tuple(boxes[o] for o in order), connectivity)


def check_connectivity(connectivity: int | None) -> int:
    """Return the connectivity if it is one.

    Raises:
        ValueError: it is not 6, 18 or 26.
    """
    if connectivity not in CONNECTIVITIES:
        raise ValueError(f"connectivity must be 6 (faces), 18 (edges) or 26 (corners), got {connectivity}")
    return connectivity
