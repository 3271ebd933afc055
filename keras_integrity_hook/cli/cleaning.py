# SPDX-License-Identifier: Apache-2.0
"""``clean``: what uploads left in a store whose processes were killed."""

from __future__ import annotations

import time

import click

from keras_integrity_hook.cli import output
from keras_integrity_hook.cli.output import json_option
from keras_integrity_hook.errors import IntegrityError, UnreadableFileError

_LOCAL = "What a killed save left at a local path, the next one there takes away by itself."


@click.command()
@click.argument("url", metavar="URL")
@click.option("--dry-run", is_flag=True, help="Say what would be removed, and remove nothing.")
@json_option
def clean(url: str, dry_run: bool, as_json: bool) -> None:
    """Remove what uploads left in the directory URL, and below it, that were killed.

    A save to a store uploads under names that begin with '.keras-integrity-' before it takes the
    place of the older model. A process that is killed meanwhile leaves those; the next save to the
    same directory removes them, as this does, once nobody has added to them for a day. What may
    belong to a save that goes on is kept, and so is what the store gives no time of.
    """
    from keras_integrity_hook.remote import leftovers, urls

    removed: list[str] = []
    kept: list[str] = []
    try:
        if not urls.is_remote(url):
            raise UnreadableFileError("is no URL of a store", path=url, remedy=_LOCAL)
        for found in leftovers.below(url, now=time.time()):
            if found.is_abandoned and not dry_run:
                leftovers.remove(found)
            (removed if found.is_abandoned else kept).extend(map(urls.shown, found.files))
    except FileNotFoundError:
        output.failed("clean", UnreadableFileError("nothing is there", path=url), as_json=as_json)
    except IntegrityError as error:
        output.failed("clean", error, as_json=as_json)
    if as_json:
        output.emit("clean", ok=True, removed=removed, kept=kept, dry_run=dry_run)
        return
    for name in removed:
        output.state("would-remove" if dry_run else "removed", name)
    for name in kept:
        output.state("kept", name)
    if not removed and not kept:
        output.line("No upload has left anything there.")
