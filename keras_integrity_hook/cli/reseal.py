# SPDX-License-Identifier: Apache-2.0
"""``reseal``: a new seal for what was changed on purpose."""

from __future__ import annotations

import click

from keras_integrity_hook import api
from keras_integrity_hook.cli import files
from keras_integrity_hook.cli.output import Listing, Result, json_option, quiet_option


@click.command()
@files.paths_argument
@click.option("--reason", required=True, metavar="TEXT", help="Why it was changed; it is recorded.")
@quiet_option
@json_option
def reseal(paths: tuple[str, ...], reason: str, quiet: bool, as_json: bool) -> None:
    """Give files that were changed on purpose a new seal.

    Look at what was changed first: the new seal vouches for all of it. The seals are replaced
    atomically; signatures over the old ones go. Files without a seal are for 'seal'.
    """

    def renew(path: str) -> Result:
        return Result(path, "resealed", api.reseal(path, reason=reason))

    files.run("reseal", paths, renew, as_json=as_json, listing=Listing.of(quiet=quiet))
