"""Help of every verb and the exit codes, read from the program and put into the documentation while it is built."""

from collections.abc import Iterator
from typing import Any

VERBS, EXIT_CODES = "<!-- verbs -->", "<!-- exit codes -->"


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Replace the marks on a page."""
    if VERBS in markdown:
        markdown = markdown.replace(VERBS, "\n".join(verb(name, command) for name, command in commands()))
    return markdown.replace(EXIT_CODES, exit_codes()) if EXIT_CODES in markdown else markdown


def commands() -> Iterator[tuple[str, Any]]:
    """Every verb, in the order in which they are used."""
    import typer

    from plausible.cli.main import app

    program: Any = typer.main.get_command(app)
    yield from program.commands.items()


def verb(name: str, command: Any) -> str:
    """One verb: what it does, its example, its options."""
    text = " ".join(line.strip() for line in command.help.splitlines())
    example = command.epilog.removeprefix("Example: ")
    head = f"## {name}\n\n{text}\n\n```bash\n{example}\n```\n\n"
    return head + "| option | default | what it is |\n|---|---|---|\n" + "".join(map(option, command.params))


def option(parameter: Any) -> str:
    """One option or argument as a line of a table."""
    flags = (
        parameter.opts + parameter.secondary_opts if parameter.param_type_name == "option" else [parameter.name.upper()]
    )
    names = ", ".join(f"`{flag}`" for flag in flags)
    return f"| {names} | {default(parameter)} | {what(parameter)} |\n"


def what(parameter: Any) -> str:
    """Help of an option, with its choices if it has some."""
    choices = ", ".join(f"`{choice}`" for choice in getattr(parameter.type, "choices", ()))
    text = (parameter.help or "").replace("|", "\\|")
    return f"{text} One of {choices}." if choices else text


def default(parameter: Any) -> str:
    """Value that holds if nothing is said."""
    if parameter.required:
        return "required"
    if isinstance(parameter.default, bool) or parameter.default in (None, (), []):
        return "on" if parameter.default is True else ""
    return f"`{parameter.default}`"


def exit_codes() -> str:
    """Table of exit codes."""
    from plausible.cli import outcome

    lines = [f"| {code} | {text} |\n" for code, text in sorted(outcome.EXIT_CODES.items())]
    return "| code | means |\n|---|---|\n" + "".join(lines)
