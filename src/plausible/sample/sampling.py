"""How many members are made of a trained model, and how: the settings of `plausible predict`."""

from dataclasses import dataclass

import numpy as np

SAMPLERS = ("tta", "dropout")
VIEW_KINDS = ("flips", "rotations", "quarter_turns", "intensity")


@dataclass(frozen=True, slots=True, kw_only=True)
class Sampling:
    """What is made of every trained network. Networks x draws x views are the members.

    Attributes:
        sampler: "tta": members from views of the image. "dropout": members from dropout inserted into a network that
            was trained without. Both may be given; neither takes the model as it was trained.
        draws: functions drawn from each network that gives many (MC dropout, SWAG, inserted dropout, ...).
        tta: kinds of views, undone after prediction; none takes those that training showed the network, or flips where
            that is not known.
        views: number of views, the untouched image first.
        insert_rate: share of the channels that inserted dropout leaves out.
        insert_at: names of the modules it is inserted after, with wildcards; none takes those known for the network.
        sampling_seed: of draws and views.
    """

    sampler: tuple[str, ...] = ()
    draws: int = 10
    tta: tuple[str, ...] = ()
    views: int = 8
    insert_rate: float = 0.1
    insert_at: tuple[str, ...] = ()
    sampling_seed: int = 0

    def __post_init__(self) -> None:
        for name in ("draws", "views"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, got {getattr(self, name)}")
        if not 0 <= self.insert_rate < 1:
            raise ValueError(f"insert_rate must lie in [0, 1), got {self.insert_rate}")
        for name, told, known in (("sampler", self.sampler, SAMPLERS), ("tta", self.tta, VIEW_KINDS)):
            if not set(told) <= set(known):
                raise ValueError(f"{name} must be among {', '.join(known)}, got {', '.join(told)}")
        if len(set(self.sampler)) < len(self.sampler):
            raise ValueError(f"each sampler is given once, got {', '.join(self.sampler)}")

    def seed_of(self, network: int, draw: int) -> int:
        """Seed of one draw of one network; other networks and draws have others."""
        return int(np.random.SeedSequence([self.sampling_seed, network, draw]).generate_state(1)[0])
