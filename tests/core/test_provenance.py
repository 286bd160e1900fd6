"""A key says what went in: the same inputs and settings give the same key, at any time and in any order."""

import json
import sys
from datetime import UTC, datetime
from typing import Any

import pytest

import plausible
from plausible.core import INTENDED_USE, Provenance, content_key, provenance, sha256_of

SETTINGS = {"maps": ["predictive_entropy"], "alpha": 0.1}
INPUTS = {"image/a_0000.nii.gz": "ab" * 32, "fold_0/a.npz": "cd" * 32}


def run(**changed: Any) -> Provenance:
    given = {"settings": SETTINGS, "inputs": INPUTS, **changed}
    return provenance("assess", **given)


def test_the_key_does_not_depend_on_time_or_order(monkeypatch: pytest.MonkeyPatch) -> None:
    before = run()

    class Later(datetime):
        @classmethod
        def now(cls, tz: Any = None) -> "Later":
            return cls(2031, 5, 6, 7, 8, 9, tzinfo=UTC)

    monkeypatch.setattr(sys.modules["plausible.core.provenance"], "datetime", Later)
    after = run(settings=dict(reversed(SETTINGS.items())), inputs=dict(reversed(INPUTS.items())))
    assert after.created == "2031-05-06T07:08:09+00:00" != before.created
    assert after.key == before.key


@pytest.mark.parametrize(
    "changed",
    [
        {"settings": {**SETTINGS, "alpha": 0.2}},
        {"settings": {**SETTINGS, "seed": 1}},
        {"inputs": {**INPUTS, "fold_0/a.npz": "ce" * 32}},
        {"inputs": {"fold_0/a.npz": "cd" * 32}},
        {"inputs": {**INPUTS, "fold_1/a.npz": "cd" * 32}},
    ],
)
def test_the_key_changes_with_inputs_and_settings(changed: dict[str, Any]) -> None:
    assert run(**changed).key != run().key


def test_the_key_changes_with_the_version(monkeypatch: pytest.MonkeyPatch) -> None:
    before = run()
    monkeypatch.setattr(plausible, "__version__", "99.0")
    assert run().key != before.key
    assert run().version == "99.0"


def test_a_record_is_plain_json_with_its_intended_use() -> None:
    told = json.loads(json.dumps(run(n_members=5).to_dict()))
    assert told["intended_use"] == INTENDED_USE
    assert "research" in INTENDED_USE
    assert told["extra"] == {"n_members": 5}
    assert told["inputs"] == INPUTS


def test_a_record_names_no_place_on_the_machine() -> None:
    assert str(plausible.__file__).rsplit("/", 3)[0] not in json.dumps(run().to_dict())


def test_hashes_are_the_standards() -> None:
    assert sha256_of(b"abc") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"  # FIPS 180-2, B.1
    assert content_key({"b": 1, "a": [1, 2]}) == sha256_of(b'{"a":[1,2],"b":1}')


def test_the_command_is_told_without_the_program_s_place(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.argv", ["/opt/somewhere/bin/plausible", "assess", "-i", "members"])
    assert plausible.core.command_line() == "plausible assess -i members"


def test_a_package_outside_git_has_no_commit(monkeypatch: pytest.MonkeyPatch) -> None:
    def absent(*_: Any, **__: Any) -> None:
        raise FileNotFoundError("git")

    monkeypatch.setattr("subprocess.run", absent)
    assert run().commit == ""
