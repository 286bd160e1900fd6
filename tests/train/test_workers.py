"""What the user hears of a worker that was killed, and of one that failed."""

import re
from pathlib import Path

import pytest

from plausible.core import Classes, UnfitEnvironment
from plausible.train import workers
from plausible.train.fingerprint import Fingerprint
from plausible.train.grid import ChannelFingerprint
from plausible.train.job import MemberJob
from plausible.train.plan import plan
from plausible.train.split import MemberSplit
from tests.train import dying
from tests.train.datasets import TINY

CHANNEL = ChannelFingerprint(
    name="MR", scheme="z-score", mean=0.0, sd=1.0, percentile_00_5=0.0, percentile_99_5=1.0, zero_share=0.0
)


@pytest.fixture
def jobs(tmp_path) -> list[MemberJob]:
    found = Fingerprint(
        n_cases=1,
        median_spacing_mm=(1.0, 1.0, 1.0),
        fine_spacing_mm=(1.0, 1.0, 1.0),
        median_size_mm=(8.0, 12.0, 8.0),
        channels=(CHANNEL,),
    )
    return [
        MemberJob(
            id=f"member_{m}",
            folder=tmp_path,
            cache=Path("nowhere"),
            split=MemberSplit(m, None, ("a",), ()),
            plan=plan(found, TINY),
            classes=Classes.exclusive_of({"background": 0, "ball": 1}),
            channels=1,
            settings=TINY,
            device="cpu",
            threads=1,
        )
        for m in range(2)
    ]


def test_a_killed_worker_is_reported_as_memory_with_numbers(jobs, monkeypatch):
    monkeypatch.setattr(workers, "_work", dying.killed)
    with pytest.raises(UnfitEnvironment) as error:
        workers.run_jobs(jobs, workers=2)
    problem = error.value.problem
    assert problem.code == "E902"
    assert "signal 9" in problem.found
    assert re.search(r"\d+\.\d GB", problem.found)
    assert "8×12×8" in problem.expected
    assert "--workers 1" in problem.fix


def test_a_failed_worker_shows_its_traceback(jobs, monkeypatch):
    monkeypatch.setattr(workers, "_work", dying.failing)
    with pytest.raises(RuntimeError, match=r"member_[01] failed:\nTraceback: no such thing"):
        workers.run_jobs(jobs, workers=2)
