# SPDX-License-Identifier: Apache-2.0
"""``help``, and the man page ``keras-integrity(1)``: both from what the commands say of themselves.

``python -m keras_integrity_hook.cli.manual`` prints the page. The one in ``man/`` travels in the
wheel and is kept equal to it by a test, because a build has no click to make it with.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

import click

from keras_integrity_hook._version import __version__

_NAME = "keras-integrity"
_EXIT_STATUS = (
    ("0", "All is well."),
    ("1", "Something was refused, or the command could not do its work."),
    ("2", "The command line or a setting is wrong."),
    ("130", "The command was interrupted."),
)
_ENVIRONMENT = (
    ("KERAS_INTEGRITY", "The mode: enforce, warn or off."),
    ("KERAS_INTEGRITY_POLICY", "The project's policy file."),
    ("KERAS_INTEGRITY_KEY", "The key that saves are signed with: a path, env:NAME or signer URI."),
    ("KERAS_INTEGRITY_KEY_PASSPHRASE_FILE", "A file of mode 0600 with the key's passphrase."),
    ("KERAS_INTEGRITY_TRUST", "The trust file."),
    ("NO_COLOR", "No colours, where it is not empty."),
)
_FURTHER = (
    "Every setting NAME of a policy is also the environment variable KERAS_INTEGRITY_NAME; "
    "docs/policy.md lists them."
)


@click.command()
@click.argument("names", metavar="[COMMAND]...", nargs=-1)
@click.pass_context
def help(ctx: click.Context, names: tuple[str, ...]) -> None:
    """Explain a command, or list all of them."""
    place = ctx.find_root()
    for name in names:
        if not isinstance(place.command, click.Group):
            raise click.UsageError(f"'{place.command_path}' has no commands of its own", place)
        _, command, _ = place.command.resolve_command(place, [name])
        assert command is not None  # else a UsageError
        place = click.Context(command, parent=place, info_name=name)
    click.echo(place.command.get_help(place))


def page() -> str:
    """The man page, in roff."""
    from keras_integrity_hook.cli import main

    root = click.Context(main, info_name=_NAME)
    title = f'.TH KERAS\\-INTEGRITY 1 "" "keras\\-integrity\\-hook {__version__}"'
    lines = [title, ".nh", ".ad l", ".SH NAME"]
    lines += [f"{_roff(_NAME)} \\- seal Keras model files and find out whether they were changed"]
    lines += [".SH SYNOPSIS", f".B {_roff(_NAME)}", "COMMAND [OPTIONS] [ARGS]..."]
    lines += [".SH COMMANDS"]
    for place in _commands(root):
        lines += _section(place)
    lines += [".SH EXIT STATUS", *_entries(_EXIT_STATUS)]
    lines += [".SH ENVIRONMENT", *_entries(_ENVIRONMENT), ".PP", _roff(_FURTHER)]
    return "\n".join(lines) + "\n"


def _commands(place: click.Context) -> Iterator[click.Context]:
    """Every command below ``place``, those of a group after it, in the order of ``--help``."""
    assert isinstance(place.command, click.Group)
    for name in place.command.list_commands(place):
        command = place.command.get_command(place, name)
        if command is None or command.hidden:
            continue
        below = click.Context(command, parent=place, info_name=name)
        yield below
        if isinstance(command, click.Group):
            yield from _commands(below)


def _section(place: click.Context) -> list[str]:
    command = place.command
    path = place.command_path.removeprefix(f"{_NAME} ")
    usage = " ".join(command.collect_usage_pieces(place))
    lines = [f".SS {_roff(path)}", f".B {_roff(place.command_path)}", _roff(usage)]
    for paragraph in (command.help or "").split("\n\n"):
        lines += [".PP", *_paragraph(paragraph)]
    options = [one for one in command.params if isinstance(one, click.Option)]
    records = [option.get_help_record(place) for option in options]
    return [*lines, *_entries(record for record in records if record)]


def _paragraph(text: str) -> list[str]:
    if text.startswith("\b"):  # click's mark of a paragraph that is not to be wrapped
        return [".nf", *(_roff(line) for line in text.splitlines()[1:]), ".fi"]
    return [_roff(" ".join(text.split()))]


def _entries(pairs: Iterator[tuple[str, str]] | tuple[tuple[str, str], ...]) -> Iterator[str]:
    for name, text in pairs:
        yield from (".TP", f".B {_roff(name)}", _roff(text) or "\\&")


def _roff(text: str) -> str:
    """``text`` as one line that no macro processor takes for a command."""
    escaped = re.sub(r"[\\]", r"\\e", " ".join(text.split())).replace("-", "\\-")
    return f"\\&{escaped}" if escaped.startswith((".", "'")) else escaped


if __name__ == "__main__":
    click.echo(page(), nl=False)
