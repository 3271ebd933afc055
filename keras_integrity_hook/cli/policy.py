# SPDX-License-Identifier: Apache-2.0
"""``policy``: what is in force here and why, is a file in order, what does a setting mean?"""

from __future__ import annotations

import os
import sys
from datetime import timedelta
from typing import Any

import click

from keras_integrity_hook.cli import output, trials
from keras_integrity_hook.cli.group import Group
from keras_integrity_hook.cli.output import json_option
from keras_integrity_hook.errors import IntegrityError, UnreadableFileError, printable
from keras_integrity_hook.files import owned
from keras_integrity_hook.limits import LIMITS
from keras_integrity_hook.settings import advice, explained, layers, toml_file, value_types
from keras_integrity_hook.settings.schema import KEYS, Settings
from keras_integrity_hook.settings.toml_file import Layer, PolicyFile
from keras_integrity_hook.texts import plural

_LAYERS = [layer.value for layer in Layer]


@click.group(cls=Group)
def policy() -> None:
    """Show the settings in force, or check a policy file."""


@policy.command()
@click.option("--path", "path", type=click.Path(), help="Show what is in force for this model.")
@json_option
def show(path: str | None, as_json: bool) -> None:
    """Show every setting in force, and where it comes from."""
    try:
        found = layers.current()
        settings = layers.resolve(found, path)
    except IntegrityError as error:
        output.misconfigured("policy show", error, as_json=as_json)
    rule = found.rule_for(path)
    if as_json:
        shown = {name: _described(settings, name) for name in KEYS}
        files = list(settings.files)
        matched = None if rule is None else {"path": rule.pattern, "origin": rule.origin}
        output.emit("policy show", ok=True, path=path, files=files, rule=matched, settings=shown)
        return
    _print_settings(settings)
    click.echo()
    for file in settings.files or ("none",):
        click.echo(f"policy file  {printable(file)}")
    if rule is not None:
        click.echo(f"rule         {printable(rule.pattern)} ({printable(rule.origin)})")


@policy.command()
@click.argument("file", type=click.Path())
@click.option(
    "--for",
    "layer",
    type=click.Choice(_LAYERS),
    help="Whose policy it is to be; by default the machine's if it locks anything.",
)
@json_option
def check(file: str, layer: str | None, as_json: bool) -> None:
    """Check a policy file before it is put in place.

    Exit status 1 where it has a mistake. What is named in it and does not work on this machine, for
    this user, is told after "here": it may be different where the policy is going to be.
    """
    try:
        parsed = _parsed(file, layer)
    except IntegrityError as error:
        if as_json:
            output.emit("policy check", ok=False, error=error.to_dict())
        else:
            click.echo(str(error))
        sys.exit(output.REFUSED)
    notes, problems = list(advice.on(parsed)), list(trials.of_file(parsed))
    if as_json:
        counts = {"settings": len(parsed.entries), "rules": len(parsed.rules)}
        locked, here = sorted(parsed.locked), [one.to_dict() for one in problems]
        fields = {"file": file, **counts, "locked": locked, "notes": notes, "here": here}
        output.emit("policy check", ok=True, **fields)
        return
    settings, rules = len(parsed.entries), len(parsed.rules)
    counted = f"{plural(settings, 'setting')}, {plural(rules, 'rule')}"
    output.state("in order", counted)
    if parsed.locked:
        output.marked("locks", ", ".join(sorted(parsed.locked)), colour="green")
    for remark in notes:
        output.marked("note", remark, colour="yellow")
    for found in problems:
        output.marked("here", found.text, colour="yellow")


@policy.command()
@click.argument("names", metavar="[SETTING]...", nargs=-1)
@json_option
def explain(names: tuple[str, ...], as_json: bool) -> None:
    """Explain the settings that there are, or those that are named.

    The first of several values is the default.
    """
    for name in names:
        if name not in KEYS:
            raise click.UsageError(f"there is no setting '{name}'; 'policy explain' has them all")
    wanted = [name for name in KEYS if name in names or not names]
    if as_json:
        output.emit("policy explain", ok=True, settings=[_explained(name) for name in wanted])
        return
    for name in wanted:
        click.secho(name, bold=True)
        shown = ", ".join(explained.values(KEYS[name])) or "none"
        output.detail(f"{shown}  ({explained.about(name)})")
        output.detail(explained.spoken(name))


def _explained(name: str) -> dict[str, Any]:
    values = list(explained.values(KEYS[name]))
    return {
        "name": name,
        "values": values,
        "about": explained.about(name),
        "variable": layers.variable_of(name),
        "meaning": explained.spoken(name),
    }


def _parsed(file: str, layer: str | None) -> PolicyFile:
    data = owned.read_own(file, LIMITS.policy, named=True)
    if data is None:
        raise UnreadableFileError("no such file", path=file)
    if layer is not None:
        return toml_file.parse(data, os.path.abspath(file), Layer(layer))
    try:
        return toml_file.parse(data, os.path.abspath(file), Layer.PROJECT)
    except IntegrityError:
        # It may be the machine's; if it is neither, that error says more.
        return toml_file.parse(data, os.path.abspath(file), Layer.MACHINE)


def _described(settings: Settings, name: str) -> dict[str, Any]:
    value = getattr(settings, name)
    value = list(value) if isinstance(value, tuple) else value
    value = int(value.total_seconds()) if isinstance(value, timedelta) else value
    origin = settings.origins[name]
    return {"value": value, "origin": origin, "locked": name in settings.locked}


def _print_settings(settings: Settings) -> None:
    rows = [(name, _spoken(getattr(settings, name)), settings.origins[name]) for name in KEYS]
    widths = [max(len(row[column]) for row in rows) for column in (0, 1)]
    locks = ["  LOCKED" if name in settings.locked else "" for name in KEYS]
    lines = [
        (f"{name:<{widths[0]}}  {value:<{widths[1]}}  {origin}{lock}", origin, lock)
        for (name, value, origin), lock in zip(rows, locks, strict=True)
    ]
    if output.is_terminal(sys.stdout) and max(len(line) for line, _, _ in lines) > _columns():
        output.facts(
            [
                (name, f"{value}  ({origin}){lock}")
                for (name, value, origin), lock in zip(rows, locks, strict=True)
            ]
        )
        return
    for line, origin, lock in lines:
        click.secho(printable(line), dim=origin == "default" and not lock)


def _columns() -> int:
    import shutil

    return shutil.get_terminal_size().columns


def _spoken(value: object) -> str:
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, tuple):
        return ", ".join(value) or "-"
    return value_types.spelled(value) if isinstance(value, timedelta) else str(value)
