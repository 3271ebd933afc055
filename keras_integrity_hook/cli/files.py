# SPDX-License-Identifier: Apache-2.0
"""``seal`` and ``unseal``, and what all commands over files and trees of files do."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, NoReturn

import click

from keras_integrity_hook import api, settings
from keras_integrity_hook.cli import output
from keras_integrity_hook.cli.output import Listing, Result, json_option, quiet_option
from keras_integrity_hook.cli.summary import Outcome, finish
from keras_integrity_hook.errors import (
    AlreadySealedError,
    IntegrityError,
    UnreadableFileError,
    UnsealedModelError,
)
from keras_integrity_hook.files import confinement
from keras_integrity_hook.fleet import passed_over
from keras_integrity_hook.fleet.discovery import Found, Role, model_files
from keras_integrity_hook.sealing.tree import ALGORITHMS

if TYPE_CHECKING:
    from keras_integrity_hook.report import Report
else:  # for those who look annotations up at run time
    Report = object

_NO_SEAL = "No seal, so a change would go unnoticed; 'keras-integrity seal PATH' adds one."
_ALTERING = ("seal", "unseal", "reseal", "sign", "contract set", "contract remove")

# Existence is not checked here: a missing file is one refused path among others, and the rest
# must still be looked at.
paths_argument = click.argument(
    "paths", metavar="PATH...", nargs=-1, required=True, type=click.Path()
)


@click.command()
@paths_argument
@click.option(
    "--dry-run",
    is_flag=True,
    help="Say what would be sealed, and why the rest is passed over; change nothing.",
)
@click.option(
    "--algorithm",
    type=click.Choice(list(ALGORITHMS)),
    help="Digest of the chunks; by default that of the settings. blake3 is an extra.",
)
@click.option(
    "--sidecar", is_flag=True, help="Leave files as they are; each seal goes into FILE.seal."
)
@quiet_option
@json_option
def seal(  # noqa: PLR0913, PLR0917 - one argument for each option
    paths: tuple[str, ...],
    dry_run: bool,
    algorithm: str | None,
    sidecar: bool,
    quiet: bool,
    as_json: bool,
) -> None:
    """Seal files, or all models in directories, as they are now.

    Do this to models whose origin you trust. Each file is replaced atomically; files that have a
    seal, valid or not, are left alone, and so are symbolic links met in a directory, and the
    parts of a model of several files, which has one seal for all of them.

    In a directory only what is recognisably a Keras model is sealed. HDF5 files of other
    programs, virtual environments, installed packages, version control and caches are passed
    over and counted; a path that is named itself is not.
    """
    store = "sidecar" if sidecar else None

    def put(path: str) -> Result:
        if dry_run:
            report = api.inspect(path)
            return Result(path, "already-sealed" if report.seal else "would-seal", report)
        try:
            return Result(path, "sealed", api.seal(path, algorithm=algorithm, store=store))
        except AlreadySealedError:
            return Result(path, "already-sealed", api.inspect(path))

    run("seal", paths, put, as_json=as_json, tell_all=dry_run, listing=Listing.of(quiet=quiet))


@click.command()
@paths_argument
@quiet_option
@json_option
def unseal(paths: tuple[str, ...], quiet: bool, as_json: bool) -> None:
    """Remove seals from files, or all models in directories.

    Each file becomes again, byte for byte, what Keras wrote. Files without a seal are left
    alone, and so are symbolic links met in a directory.
    """

    def remove(path: str) -> Result:
        try:
            return Result(path, "unsealed", api.unseal(path), note="The seal was removed.")
        except UnsealedModelError:
            return Result(path, "unsealed", note="There was no seal.")

    run("unseal", paths, remove, as_json=as_json, listing=Listing.of(quiet=quiet))


def run(  # noqa: PLR0913 - what differs between the commands
    command: str,
    paths: tuple[str, ...],
    act: Callable[[str], Result],
    *,
    as_json: bool,
    show: Callable[[Result], None] = output.show,
    tell_all: bool = False,
    listing: Listing = Listing.ALL,
    then: Callable[[Outcome], None] = lambda outcome: None,
) -> NoReturn:
    """Do ``act`` to every model that is found, whatever happens to the others, and exit.

    A command that writes leaves alone what it meets below a directory that is a link, or a part of
    a set: the file may be anybody's, or the set's seal would break.

    Args:
        tell_all: show each thing that was passed over, with the reason, instead of their number.
        listing: which results are shown.
        then: called with the outcome before the command ends.
    """
    begun = time.monotonic()
    alters = command in _ALTERING
    try:
        settings.at()
    except IntegrityError as error:
        output.misconfigured(command, error, as_json=as_json)
    found_there = model_files(paths, to_change=alters)
    models = [(found, _reason_to_skip(found, alters=alters)) for found in found_there]
    work = [found.path for found, reason in models if found.error is None and not reason]
    sizes = output.read_sizes(command, work)
    results = []
    said = {_NO_SEAL} if len(models) > 1 else set()  # the summary says it of several
    silent = as_json or listing is Listing.NOTHING
    with output.progress(command, work, sizes, quiet=silent) as done:
        for found, reason in models:
            result = _already(found, reason)
            if result is None:
                with confinement.confined_to(found.place if alters else ""):
                    result = _attempt(found.path, act)
                done(found.path)
            results.append(result)
            if not as_json and listing.shows(result) and (tell_all or found.kind is None):
                show(replace(result, said=said))
    if not silent:
        _count_passed_over(models, hint=not tell_all)
    if not as_json:  # what is no model is counted by itself
        pairs = zip(results, models, strict=True)
        results = [result for result, (found, _) in pairs if found.kind is None]
    size = None if sizes is None else sum(sizes[path] for path in work)
    outcome = Outcome(command, paths, tuple(results), size, time.monotonic() - begun)
    then(outcome)
    finish(outcome, as_json=as_json, listing=listing)


def _already(found: Found, reason: str) -> Result | None:
    """What is to be said of something that nothing is done to."""
    if found.error is not None:
        return Result.refused(found.path, found.error)
    return Result(found.path, "skipped", note=reason) if reason else None


def _count_passed_over(models: list[tuple[Found, str]], *, hint: bool) -> None:
    kinds = [found.kind for found, _ in models if found.kind is not None]
    if not kinds:
        return
    output.state("passed over", f"{len(kinds):,} of other programs")
    output.detail(f"{passed_over.summary(kinds)}.")
    if hint:
        output.detail("'seal --dry-run' says why. What is named itself is never passed over.")


def _reason_to_skip(found: Found, *, alters: bool) -> str:
    """Why nothing is done to what was found, a sentence; empty where something is."""
    if found.role is Role.PASSED_OVER:
        return found.reason
    if found.role is Role.LINKED_DIRECTORY:
        return "A link to another directory: name it to have that one looked into."
    if alters and found.role is Role.LINK:
        return "A symbolic link: name it, or its target, to have that changed."
    if alters and found.role is Role.PART:
        return f"A part of the model {found.whole}, whose seal covers it as it is."
    return ""


def hint(report: Report) -> str:
    """What to do about a model without a seal; empty for one that has one."""
    return "" if report.seal else _NO_SEAL


def reason_passed_over(path: str, named: tuple[str, ...]) -> str:
    """Why ``seal`` would pass over ``path``, found below one of ``named``; empty if not."""
    if path in named:
        return ""
    tops = [top for top in named if path.startswith(os.path.join(top, ""))]
    return passed_over.reason_below(max(tops, key=len), path) if tops else ""


def _attempt(path: str, act: Callable[[str], Result]) -> Result:
    try:
        return act(path)
    except IntegrityError as error:
        return Result.refused(path, error)
    except OSError as error:  # a disk that fails half-way must not hide the other files
        return Result.refused(path, UnreadableFileError(error.strerror or str(error), path=path))
