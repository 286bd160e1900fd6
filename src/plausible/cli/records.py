"""One option per field of a settings record: flags, defaults and help exist once, in the record."""

import functools
import inspect
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import MISSING, Field, fields
from typing import Annotated, Any, TypeVar, get_args, get_origin, get_type_hints

import typer

from plausible.cli.outcome import guarded

Command = TypeVar("Command", bound=Callable[..., Any])


def takes(*records: type, leave_out: Sequence[str] = (), shared: Sequence[str] = ()) -> Callable[[Command], Command]:
    """Replace the parameters of a command that are settings records by one option per field.

    `--field-name` has the field's type and default; its help is the field's line in the record's docstring, so the
    docstring needs an "Attributes:" section. Fields that are tuples of any length become options given several times.
    What a record refuses ends the program as a wrong setting.

    Args:
        *records: frozen dataclasses; a parameter annotated with one of them is replaced.
        leave_out: fields that keep their defaults.
        shared: fields of one meaning that several records have; one option, described by the first, sets all.
    """

    def decorate(command: Command) -> Command:
        signature = inspect.signature(command)
        replaced = {p.name: p.annotation for p in signature.parameters.values() if p.annotation in records}
        chosen = {name: [f for f in fields(kind) if f.name not in leave_out] for name, kind in replaced.items()}
        flags = _flags(chosen, shared)
        _check_distinct([f.name for found in flags.values() for f in found] + list(signature.parameters))

        @functools.wraps(command)
        def run(**told: Any) -> Any:
            values = {f.name: _plain(told.pop(f.name)) for found in flags.values() for f in found}
            for name, kind in replaced.items():
                given = {field.name: values[field.name] for field in chosen[name]}
                told[name] = guarded(functools.partial(kind, **given), as_json=told.get("as_json", False))
            return command(**told)

        others = [p for p in signature.parameters.values() if p.name not in replaced]
        options = [option for name, kind in replaced.items() for option in _options(kind, flags[name])]
        parameters = [p.replace(kind=inspect.Parameter.KEYWORD_ONLY) for p in others] + options
        run.__signature__ = signature.replace(parameters=parameters)  # type: ignore[attr-defined]
        run.__annotations__ = {p.name: p.annotation for p in parameters} | {"return": None}
        return run  # type: ignore[return-value]

    return decorate


def _flags(chosen: Mapping[str, Sequence["Field[Any]"]], shared: Sequence[str]) -> dict[str, list["Field[Any]"]]:
    """Fields of each record that become options of their own: a shared one only in the first."""
    seen: set[str] = set()
    found: dict[str, list[Field[Any]]] = {}
    for name, of_record in chosen.items():
        found[name] = [f for f in of_record if not (f.name in shared and f.name in seen)]
        seen |= {f.name for f in of_record}
    return found


def attribute_texts(record: type) -> dict[str, str]:
    """Text of each field in the "Attributes:" section of a docstring; `a, b: text` describes both."""
    found: dict[str, str] = {}
    names: list[str] = []
    section = (inspect.getdoc(record) or "").partition("Attributes:")[2]
    for line in section.splitlines():
        entry = re.match(r" {4}(\w+(?:, \w+)*): (.+)", line)
        if entry:
            names = entry[1].split(", ")
            found |= dict.fromkeys(names, entry[2])
        elif line.strip():
            found |= {name: f"{found[name]} {line.strip()}" for name in names}
    return found


def _options(record: type, chosen: Sequence["Field[Any]"]) -> Iterator[inspect.Parameter]:
    hints, texts = get_type_hints(record), attribute_texts(record)
    for field in chosen:
        hint, text = hints[field.name], texts.get(field.name, "")
        default: Any = inspect.Parameter.empty if field.default is MISSING else field.default
        flag = field.name.replace("_", "-")
        many = get_origin(hint) is tuple and get_args(hint)[1:] == (...,)
        kind = get_args(hint)[0] if many else hint
        named = f"--{flag}/--no-{flag}" if hint is bool else f"--{flag}"
        yield inspect.Parameter(
            field.name,
            inspect.Parameter.KEYWORD_ONLY,
            default=list(default) if many and isinstance(default, tuple) else default,
            annotation=Annotated[
                list[kind] if many else kind,  # type: ignore[valid-type]
                typer.Option(
                    named, help=text[:1].upper() + text[1:], metavar=f"<{kind.__name__}> ..." if many else None
                ),
            ],
        )


def _check_distinct(names: Sequence[str]) -> None:
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise TypeError(f"two parameters of the name {', '.join(twice)}; leave one out")


def _plain(value: Any) -> Any:
    """Lists from the command line as the tuples that a record wants."""
    return tuple(value) if isinstance(value, list) else value
