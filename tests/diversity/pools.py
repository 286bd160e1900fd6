"""Pools with a known truth: members that are good or bad, alike or not."""

import numpy as np

from plausible.core import Classes, Geometry, MemberInfo, Members
from plausible.diversity.pool_cases import Pool, PoolCase, pool_case

SHAPE = (9, 11, 13)
CLASSES = Classes.exclusive_of({"background": 0, "head": 1, "body": 2})
REGIONS = Classes.overlapping_of({"whole": (1, 2), "core": (2,)})
AFFINE = np.diag([0.7, 1.1, 3.0, 1.0])
NOISE = (0.6, 0.9, 1.2, 1.5, 1.8, 2.4)


def truth(seed: int) -> np.ndarray:
    """Label map with two neighbouring boxes whose ends are drawn by lot."""
    rng = np.random.default_rng(seed)
    labels = np.zeros(SHAPE, np.uint8)
    a, b = int(rng.integers(4, 6)), int(rng.integers(7, 9))
    labels[2:a, 3:8, 3:9] = 1
    labels[a:b, 3:8, 3:9] = 2
    return labels


def case_of(
    seed: int, *, noise: tuple[float, ...] = NOISE, n_raters: int = 1, ids: tuple[str, ...] = (), **settings
) -> tuple[PoolCase, Members, Members]:
    """A case whose members are the truth in logits plus noise of their own, all sharing some of it."""
    rng = np.random.default_rng(1000 + seed)
    labels = truth(seed)
    shared = rng.normal(0, 0.5, (3, *SHAPE))
    arrays = []
    for size in noise:
        logits = 3.0 * CLASSES.encode(labels) + shared + rng.normal(0, size, (3, *SHAPE))
        odds = np.exp(logits)
        arrays.append((odds / odds.sum(axis=0)).astype(np.float32))
    names = ids or tuple(f"m{n}" for n in range(len(noise)))
    geometry = Geometry(SHAPE, AFFINE)
    infos = [MemberInfo(id=name) for name in names]
    members = Members.from_arrays(arrays, geometry=geometry, classes=CLASSES, subject=f"s{seed:02d}", infos=infos)
    raters = Members.from_labels(
        [np.roll(labels, r, axis=1) for r in range(n_raters)], geometry=geometry, classes=CLASSES
    )
    return pool_case(members, raters, **settings), members, raters


def pool_of(n_cases: int = 5, *, start: int = 0, **settings) -> Pool:
    """Several such cases."""
    return Pool(tuple(case_of(start + n, **settings)[0] for n in range(n_cases)))
