"""A settings record becomes options: flags, defaults, help, and errors that are one message."""

import json
from dataclasses import dataclass
from typing import Literal

import pytest
import typer
from typer.testing import CliRunner

from plausible.cli.options import Json
from plausible.cli.records import attribute_texts, takes


@dataclass(frozen=True, kw_only=True)
class Cooking:
    """How to cook.

    Attributes:
        heat_c: temperature of the oven,
            in degrees.
        salt, pepper: pinches of it.
        spice: what to add; give it several times.
        pan: which pan.
        covered: whether there is a lid.
        size: length, width and height.
        seed: unused.
    """

    heat_c: float
    salt: int = 2
    pepper: int | None = None
    spice: tuple[str, ...] = ()
    pan: Literal["iron", "steel"] = "iron"
    covered: bool = False
    size: tuple[int, int, int] | None = None
    seed: int = 7

    def __post_init__(self) -> None:
        if self.heat_c > 300:
            raise ValueError(f"heat_c must be at most 300, got {self.heat_c}")


@pytest.fixture
def program() -> typer.Typer:
    app = typer.Typer(rich_markup_mode=None, add_completion=False)

    @app.command()
    @takes(Cooking, leave_out=("seed",))
    def cook(dish: str, as_json: Json = False, *, cooking: Cooking) -> None:
        """Cook a dish."""
        typer.echo(f"{dish} {cooking}")

    return app


def run(program, *arguments: str, code: int = 0):
    done = CliRunner().invoke(program, list(arguments), catch_exceptions=False)
    assert done.exit_code == code, done.output
    return done


def test_fields_have_their_defaults(program):
    assert f"soup {Cooking(heat_c=90.0)}" in run(program, "soup", "--heat-c", "90").stdout


def test_every_field_is_a_flag_of_its_type(program):
    flags = ["--heat-c", "180.5", "--salt", "1", "--pepper", "3", "--spice", "thyme", "--spice", "bay leaf"]
    flags += ["--pan", "steel", "--covered", "--size", "1", "2", "3"]
    told = Cooking(
        heat_c=180.5,
        salt=1,
        pepper=3,
        spice=("thyme", "bay leaf"),
        pan="steel",
        covered=True,
        size=(1, 2, 3),
    )
    assert str(told) in run(program, "stew", *flags).stdout
    assert "covered=False" in run(program, "stew", *flags, "--no-covered").stdout


def test_help_is_the_records_own(program):
    text = " ".join(run(program, "--help").stdout.split())
    for line in ("Temperature of the oven, in degrees.", "Pinches of it.", "What to add; give it several times."):
        assert line in text
    assert "[default: 2]" in text
    assert "<iron|steel>" in text
    assert "--spice <str> ..." in text
    assert "--seed" not in text


@pytest.mark.parametrize(
    "wrong", [["--heat-c", "hot"], ["--pan", "clay"], ["--size", "1", "2"], ["--salt", "1.5"], ["--seed", "1"], []]
)
def test_what_is_not_of_the_type_is_refused(wrong, program):
    required = [] if not wrong or "--heat-c" in wrong else ["--heat-c", "90"]
    assert "Error:" in run(program, "stew", *required, *wrong, code=2).stderr


def test_what_the_record_refuses_is_one_line(program):
    done = run(program, "stew", "--heat-c", "301", code=2)
    assert done.stderr == "heat_c must be at most 300, got 301.0\n"
    done = run(program, "stew", "--heat-c", "301", "--json", code=2)
    assert json.loads(done.stdout) == {"error": "heat_c must be at most 300, got 301.0"}


def test_two_fields_of_one_name_are_refused():
    @dataclass(frozen=True, kw_only=True)
    class Baking:
        heat_c: float = 180.0

    def bake(*, cooking: Cooking, baking: Baking) -> None:
        """Bake."""

    with pytest.raises(TypeError, match="heat_c"):
        takes(Cooking, Baking)(bake)


def test_a_text_belongs_to_every_name_before_its_colon():
    texts = attribute_texts(Cooking)
    assert texts["salt"] == texts["pepper"] == "pinches of it."
    assert texts["heat_c"] == "temperature of the oven, in degrees."
    assert set(texts) == set(Cooking.__dataclass_fields__)
