"""How often is a change without any effect accepted? The bootstrap alone against bootstrap and swapping.

    python studies/acceptance_null.py [--patients 40] [--scores 3] [--repeats 1500]

Two ensembles whose scores are drawn from one skewed law, several scores each; an improvement of any one would be
accepted. Promised are 2.5 %.
"""

import argparse

import numpy as np

from plausible.diversity.swapping import swap_test
from plausible.evaluate import bootstrap_mean


def main() -> None:
    """Count false acceptances and print their rates."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--patients", type=int, default=40)
    parser.add_argument("--scores", type=int, default=3)
    parser.add_argument("--repeats", type=int, default=1500)
    asked = parser.parse_args()
    level = 1 - 0.05 / asked.scores
    found = np.array([_accepted(asked.patients, asked.scores, level, seed) for seed in range(asked.repeats)])
    for name, rate in zip(("bootstrap alone", "bootstrap and swapping"), found.mean(axis=0), strict=True):
        print(f"{name}: {rate:.1%} of {asked.repeats} changes without effect accepted")


def _accepted(n: int, n_scores: int, level: float, seed: int) -> tuple[bool, bool]:
    rng = np.random.default_rng(10_000 + seed)
    alone = both = False
    for _ in range(n_scores):
        ours, theirs = rng.gamma(2, 0.1, (2, 1, n))
        if bootstrap_mean(ours[0] - theirs[0], seed=seed, n_resamples=1500, level=level).high < 0:
            alone = True
            both = both or swap_test(ours, theirs, owners=range(n), seed=seed) <= 1 - level
    return alone, both


if __name__ == "__main__":
    main()
