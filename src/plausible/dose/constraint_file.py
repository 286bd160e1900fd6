"""Constraint files: TOML, one block per line of a protocol, read with a message that names the line of a fault.

```toml
name = "our protocol"
note = "what a reader has to know"

[[constraint]]
structure = "SpinalCord"          # name after TG-263 or a usual one; or a list of names
metric = "D2%[Gy]"
operator = "<"                    # what must hold: <, <=, >, >=
limit = 45
acceptable = 50                   # acceptable variation; optional
prescription_gy = 70              # what 100 % of dose means, for metrics such as V95%[%]; optional
priority = 1                      # optional
source = "our protocol, 2026"
checked = true                    # default true

[[ntcp]]                          # LKB models; optional
structure = "Parotid_L"
endpoint = "xerostomia"
td50_gy = 39.9
m = 0.4
n = 1.0
source = "..."

[aliases]                         # names of your own, and what they stand for; optional
"Myelon neu" = "SpinalCord"
```
"""

import math
import re
import tomllib
from collections.abc import Callable, Iterator, Mapping
from importlib.resources import files
from typing import Any, get_args

from plausible.core import InvalidInput, Problem, standard_name
from plausible.core.limits import Operator
from plausible.dose.constraints import Constraint, ConstraintSet, Lkb
from plausible.dose.metric_text import parse_metric

SHIPPED = ("head_and_neck", "openkbp", "thorax", "abdomen", "pelvis")
"""Sets of published constraints that come with the package."""

CONSTRAINT_KEYS: Mapping[str, tuple[type, ...]] = {
    "structure": (str, list),
    "metric": (str,),
    "operator": (str,),
    "limit": (int, float),
    "acceptable": (int, float),
    "prescription_gy": (int, float),
    "priority": (int,),
    "source": (str,),
    "checked": (bool,),
}
NTCP_KEYS: Mapping[str, tuple[type, ...]] = {
    "structure": (str, list),
    "endpoint": (str,),
    "td50_gy": (int, float),
    "m": (int, float),
    "n": (int, float),
    "source": (str,),
    "checked": (bool,),
}
WORDS: Mapping[type, str] = {
    str: "text in quotes",
    list: "a list of names",
    bool: "true or false",
    int: "a number",
    float: "a number",
}
OPTIONAL = {"acceptable", "prescription_gy", "priority", "checked"}
TOP_KEYS = {"name", "note", "constraint", "ntcp", "aliases"}


def shipped_constraints(name: str) -> ConstraintSet:
    """Read a set of published constraints that comes with the package.

    Raises:
        ValueError: there is none of this name.
    """
    if name not in SHIPPED:
        raise ValueError(f"no constraints {name!r}; there are: {', '.join(SHIPPED)}, or a TOML file of your own")
    text = (files("plausible.dose") / "defaults" / f"{name}.toml").read_text(encoding="utf-8")
    return parse_constraints(text, file=f"{name}.toml")


def parse_constraints(text: str, *, file: str) -> ConstraintSet:
    """Read the text of a constraint file.

    Args:
        text: TOML, as above.
        file: name for messages; also of the set, where the file does not give one.

    Raises:
        InvalidInput: E630, not TOML; E631, a block that is no constraint, with its line; what `parse_metric` finds.
    """
    try:
        content = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise InvalidInput(
            Problem(
                code="E630",
                file=file,
                found=str(error)[:300],
                expected="TOML with blocks [[constraint]], each with structure, metric, operator, limit and source",
                fix="correct this line; text stands in double quotes, numbers do not",
            )
        ) from error
    where = _Places(text, file)
    if unknown := sorted(set(content) - TOP_KEYS):
        raise where.problem("", 0, unknown[0], f"the key {unknown[0]!r}", f"one of {', '.join(sorted(TOP_KEYS))}")
    aliases = {str(name): str(meant) for name, meant in _table(content.get("aliases", {}), where).items()}
    return ConstraintSet(
        name=str(content.get("name", file.removesuffix(".toml"))),
        note=str(content.get("note", "")).strip(),
        constraints=tuple(_blocks(content, "constraint", CONSTRAINT_KEYS, where, aliases, _constraint)),
        ntcp=tuple(_blocks(content, "ntcp", NTCP_KEYS, where, aliases, _lkb)),
        aliases=aliases,
    )


class _Places:
    """Where in the file a block and its keys stand."""

    def __init__(self, text: str, file: str) -> None:
        self.lines, self.file = text.splitlines(), file

    def line(self, kind: str, number: int, key: str) -> int:
        """Line (from 1) of a key of the block of this kind and number (from 0); of the block where it has no key."""
        starts = [n for n, line in enumerate(self.lines) if re.match(rf"\s*\[\[\s*{kind}\s*\]\]", line)] if kind else []
        start = starts[number] + 1 if number < len(starts) else 0
        for n in range(start, len(self.lines)):
            if re.match(r"\s*\[", self.lines[n]):
                break
            if key and re.match(rf"\s*[\"']?{re.escape(key)}[\"']?\s*=", self.lines[n]):
                return n + 1
        return max(start, 1)

    def problem(
        self, kind: str, number: int, key: str, found: str, expected: str, *, code: str = "E631"
    ) -> InvalidInput:
        """Return the error of one key."""
        line = self.line(kind, number, key)
        return InvalidInput(
            Problem(
                code=code,
                file=self.file,
                found=f"line {line}: {found}",
                expected=expected,
                fix=f"correct line {line} of {self.file}",
            )
        )


def _table(value: Any, where: _Places) -> dict[str, Any]:
    if isinstance(value, dict):
        return value
    raise where.problem("", 0, "aliases", "aliases is no table", '[aliases] with lines "own name" = "TG-263 name"')


def _blocks(
    content: Mapping[str, Any],
    kind: str,
    keys: Mapping[str, tuple[type, ...]],
    where: _Places,
    aliases: Mapping[str, str],
    make: Callable[[dict[str, Any], _Places, int], Any],
) -> Iterator[Any]:
    """Records of all blocks of a kind, one per structure that a block names."""
    blocks = content.get(kind, [])
    if not isinstance(blocks, list):
        raise where.problem("", 0, kind, f"{kind} is no list of blocks", f"[[{kind}]] with two brackets on each side")
    for number, block in enumerate(blocks):
        _check_keys(block, kind, number, keys, where)
        names = block["structure"] if isinstance(block["structure"], list) else [block["structure"]]
        for name in names:
            yield make({**block, "structure": standard_name(str(name), aliases=aliases) or str(name)}, where, number)


def _check_keys(
    block: Mapping[str, Any], kind: str, number: int, keys: Mapping[str, tuple[type, ...]], where: _Places
) -> None:
    for key, value in block.items():
        if key not in keys:
            raise where.problem(kind, number, key, f"the key {key!r}", f"one of {', '.join(keys)}")
        if type(value) not in keys[key]:
            words = " or ".join(dict.fromkeys(WORDS[kind] for kind in keys[key]))
            raise where.problem(kind, number, key, f"{key} = {value!r}", words)
        if isinstance(value, float) and not math.isfinite(value):
            raise where.problem(kind, number, key, f"{key} = {value}", "a finite number")
    lacking = [key for key in keys if key not in block and key not in OPTIONAL]
    if lacking:
        raise where.problem(kind, number, "", f"a [[{kind}]] without {', '.join(lacking)}", f"{', '.join(lacking)} too")


def _constraint(block: dict[str, Any], where: _Places, number: int) -> Constraint:
    if block["operator"] not in get_args(Operator):
        raise where.problem("constraint", number, "operator", f"operator = {block['operator']!r}",
                            f"one of {', '.join(get_args(Operator))}")  # fmt: skip
    prescription = float(block["prescription_gy"]) if "prescription_gy" in block else None
    try:
        metric = parse_metric(block["metric"], prescription_gy=prescription).text
    except InvalidInput as error:
        told = error.problem
        raise where.problem("constraint", number, "metric", told.found, told.expected, code=told.code) from error
    _check_acceptable(block, where, number)
    numbers = {key: float(value) for key, value in block.items() if key in ("limit", "acceptable", "prescription_gy")}
    fields: dict[str, Any] = {**block, **numbers, "metric": metric}
    return Constraint(**fields)


def _check_acceptable(block: Mapping[str, Any], where: _Places, number: int) -> None:
    """Refuse an acceptable variation on the wrong side of the limit."""
    limit, acceptable = block["limit"], block.get("acceptable")
    wider = acceptable is None or (acceptable >= limit if block["operator"].startswith("<") else acceptable <= limit)
    if not wider:
        side = "at least" if block["operator"].startswith("<") else "at most"
        raise where.problem("constraint", number, "acceptable", f"acceptable = {acceptable:g} with limit = {limit:g}",
                            f"an acceptable variation of {side} the limit")  # fmt: skip


def _lkb(block: dict[str, Any], where: _Places, number: int) -> Lkb:
    for key in ("td50_gy", "m", "n"):
        if not block[key] > 0:
            raise where.problem("ntcp", number, key, f"{key} = {block[key]:g}", "a number above 0")
    fields: dict[str, Any] = {**block, **{key: float(block[key]) for key in ("td50_gy", "m", "n")}}
    return Lkb(**fields)
