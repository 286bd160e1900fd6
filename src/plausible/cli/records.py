"""One option per field of a settings record: flags, defaults and help exist once, in the record."""

import functools
import inspect
import re
from collections.abc import Callable, Sequence
from dataclasses import MISSING, Field, fields
from typing import Annotated, Any, TypeVar, get_args, get_origin, get_type_hints

import typer

Command = TypeVar("Command", bound=Callable[..., Any])


def takes(record: type, *, leave_out: Sequence[str] = ()) -> Callable[[Command], Command]:
    """Replace the last parameter of a command, a settings record, by one option per field.

    `--field-name` has the field's type and default; its help is the field's line in the record's docstring, so the
    docstring needs an "Attributes:" section. Fields that are tuples of any length become options given several times.

    Args:
        record: the frozen dataclass.
        leave_out: fields that keep their defaults.
    """

    def decorate(command: Command) -> Command:
        signature = inspect.signature(command)
        *others, last = signature.parameters.values()
        hints, texts = get_type_hints(record), attribute_texts(record)
        chosen = [field for field in fields(record) if field.name not in leave_out]
        options = [_parameter(field, hints[field.name], texts.get(field.name, "")) for field in chosen]

        @functools.wraps(command)
        def run(**told: Any) -> Any:
            values = {field.name: told.pop(field.name) for field in chosen}
            return command(**told, **{last.name: record(**_tuples(values))})

        parameters = [p.replace(kind=inspect.Parameter.KEYWORD_ONLY) for p in others] + options
        run.__signature__ = signature.replace(parameters=parameters)  # type: ignore[attr-defined]
        run.__annotations__ = {p.name: p.annotation for p in parameters} | {"return": None}
        return run  # type: ignore[return-value]

    return decorate


def attribute_texts(record: type) -> dict[str, str]:
    """Text of each field in the "Attributes:" section of a docstring; `a, b: text` describes both."""
    found: dict[str, str] = {}
    section = (inspect.getdoc(record) or "").partition("Attributes:")[2]
    names: list[str] = []
    for line in section.splitlines():
        entry = re.match(r" {4}(\w+(?:, \w+)*): (.+)", line)
        if entry:
            names = entry[1].split(", ")
            found |= dict.fromkeys(names, entry[2])
        elif line.strip():
            found |= {name: f"{found[name]} {line.strip()}" for name in names}
    return found


def _parameter(field: "Field[Any]", hint: Any, text: str) -> inspect.Parameter:
    default = field.default if field.default is not MISSING else None
    flag = "--" + field.name.replace("_", "-")
    names = (f"{flag}/--no-{flag[2:]}",) if hint is bool else (flag,)
    many = _is_tuple_of_any_length(hint)
    return inspect.Parameter(
        field.name,
        inspect.Parameter.KEYWORD_ONLY,
        default=list(default or ()) if many else default,
        annotation=Annotated[_option_type(hint), typer.Option(*names, help=text[:1].upper() + text[1:])],
    )


def _option_type(hint: Any) -> Any:
    if _is_tuple_of_any_length(hint):
        return list[get_args(hint)[0]]  # type: ignore[misc]
    return hint


def _is_tuple_of_any_length(hint: Any) -> bool:
    return get_origin(hint) is tuple and get_args(hint)[1:] == (...,)


def _tuples(values: dict[str, Any]) -> dict[str, Any]:
    """Lists from the command line as the tuples that the record wants."""
    return {name: tuple(value) if isinstance(value, list) else value for name, value in values.items()}
