# SPDX-License-Identifier: Apache-2.0
"""``history``: what this machine remembers of models, and a person's word that it may forget."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

import click

from keras_integrity_hook import audit
from keras_integrity_hook.cli import output
from keras_integrity_hook.cli.group import Group
from keras_integrity_hook.cli.output import json_option
from keras_integrity_hook.errors import IntegrityError
from keras_integrity_hook.files.target import real_path
from keras_integrity_hook.history import directories, store
from keras_integrity_hook.history.seen import FILE, Entry, Seen

_SHORT = 12  # hex digits of a key id, which people compare


@click.group(cls=Group)
def history() -> None:
    """Show, or forget, what this machine remembers of models.

    Of each path that a model was saved to or loaded from it remembers that there was a seal, who
    had signed it and the highest version. A model that contradicts that is warned of, or refused
    where the setting 'history' is "enforce".
    """


@history.command()
@click.argument("paths", metavar="[PATH]...", nargs=-1, type=click.Path())
@json_option
def show(paths: tuple[str, ...], as_json: bool) -> None:
    """Show what is remembered of PATH, or of every path."""
    try:
        found = [entry for _, entry in _of(paths)] if paths else [one for _, one in _all()]
    except IntegrityError as error:
        output.failed("history show", error, as_json=as_json)
    found.sort(key=lambda entry: entry.path)
    if as_json:
        told = [_described(entry) for entry in found]
        output.emit("history show", ok=True, directories=_directories(), entries=told)
        return
    for entry in found:
        for kind, seen in sorted(entry.kinds.items()):
            _print(entry.path, kind, seen)
    if not found:
        what = "Nothing is remembered of that." if paths else "Nothing is remembered."
        output.line(f"{what} The memory is in {' and '.join(_directories())}.")


@history.command()
@click.argument("paths", metavar="[PATH]...", nargs=-1, type=click.Path())
@click.option("-r", "--recursive", is_flag=True, help="And everything below the directory PATH.")
@click.option("--all", "everything", is_flag=True, help="Forget all of it.")
@json_option
def forget(paths: tuple[str, ...], recursive: bool, everything: bool, as_json: bool) -> None:
    """Forget what is remembered of PATH: what is there next is the beginning.

    Do this where a seal was taken away, a signer left or an older version came back because
    somebody wanted that. It is recorded in the audit log. The model need not be there any more.
    """
    if everything is bool(paths):
        raise click.UsageError("Name a PATH, or --all.")
    try:
        found = list(_all() if everything else _of(paths, recursive=recursive))
        forgotten = [entry.path for directory, entry in found if _forget(directory, entry)]
    except IntegrityError as error:
        output.failed("history forget", error, as_json=as_json)
    if as_json:
        output.emit("history forget", ok=True, forgotten=sorted(set(forgotten)))
        return
    for path in sorted(set(forgotten)):
        output.state("forgotten", path)
    if not forgotten:
        output.line("Nothing was remembered of that.")


def _directories() -> list[str]:
    """Where this user's memory may lie."""
    return [one for one in (directories.of_user(), directories.in_machine()) if one]


def _of(paths: tuple[str, ...], *, recursive: bool = False) -> Iterator[tuple[str, Entry]]:
    """The entries of ``paths``, and the directories that they are in."""
    wanted = [real_path(path) for path in dict.fromkeys(paths)]
    if recursive:
        below = tuple(os.path.join(path, "") for path in wanted)
        yield from (pair for pair in _all() if f"{pair[1].path}/".startswith(below))
        return
    for directory in _directories():
        for path in wanted:
            entry = store.read(directory, path)
            if entry is not None:
                yield directory, entry


def _all() -> Iterator[tuple[str, Entry]]:
    for directory in _directories():
        yield from ((directory, entry) for entry in store.entries(directory))


def _forget(directory: str, entry: Entry) -> bool:
    audit.record("history", entry.path, outcome="forgotten")
    return store.forget(directory, entry.path)


def _print(path: str, kind: str, seen: Seen) -> None:
    output.state("signed" if seen.signers else "sealed", path)
    facts: list[tuple[str, object]] = [("since", seen.at)]
    if kind != FILE:
        facts.insert(0, ("what", kind))
    facts += [("signed by", _signer(keyid, names)) for keyid, names in seen.signers.items()]
    facts += [("claims", f"a signature by {_signer(keyid, ())}") for keyid in seen.claims]
    for name, version in seen.versions.items():
        facts.append(("highest", f"version {version}" + (f" of '{name}'" if name else "")))
    output.facts(facts)


def _signer(keyid: str, names: tuple[str, ...]) -> str:
    key = f"key {keyid[:_SHORT]}"
    return f"{' or '.join(names)} ({key})" if names else key


def _described(entry: Entry) -> dict[str, Any]:
    kinds = {
        kind: {
            "since": seen.at,
            "signers": {keyid: list(names) for keyid, names in seen.signers.items()},
            "claims": list(seen.claims),
            "name": seen.name or None,
            "highest_versions": dict(seen.versions),
        }
        for kind, seen in sorted(entry.kinds.items())
    }
    return {"path": entry.path, "kinds": kinds}
