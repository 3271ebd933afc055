# SPDX-License-Identifier: Apache-2.0
"""``admit``: models to where a server reads them that no hook can guard."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import click

from keras_integrity_hook.cli import output
from keras_integrity_hook.cli.output import Listing, Result, json_option, quiet_option
from keras_integrity_hook.cli.summary import Outcome, finish
from keras_integrity_hook.errors import IntegrityError

if TYPE_CHECKING:
    from keras_integrity_hook.fleet.admitting import Checked
else:  # for those who look annotations up at run time
    Checked = object


@click.command()
@click.argument("source")
@click.argument("target", type=click.Path())
@click.option(
    "--allow",
    "allowed",
    metavar="PATTERN",
    multiple=True,
    help="Let files pass that no seal covers, by their path below SOURCE; may be repeated.",
)
@quiet_option
@json_option
def admit(source: str, target: str, allowed: tuple[str, ...], quiet: bool, as_json: bool) -> None:
    """Copy models from SOURCE, a path or a URL, into the directory TARGET, if all of them pass.

    For servers that read models in C++ (TensorFlow Serving, Triton, OpenVINO): run it before them,
    and let them read TARGET. The copy is checked, not the source, and gets its name only then; if
    anything is refused, TARGET stays as it was. A model without a seal is refused whatever the
    setting 'unsealed' says, and so is every file that no seal covers, unless --allow names it:

    \b
        keras-integrity admit s3://models/fraud /models/fraud
        keras-integrity admit --allow '*/config.pbtxt' /mnt/repository /models
    """
    from keras_integrity_hook.fleet import admitting

    begun = time.monotonic()
    try:
        checked = admitting.admit(source, target, allowed=allowed)
    except IntegrityError as error:
        output.failed("admit", error, as_json=as_json)
    word = "admitted" if all(one.error is None for one in checked) else "passed"
    results = tuple(_result(one, word) for one in checked)
    listing = Listing.of(quiet=quiet)
    said: set[str] = set()
    for result in results:
        if not as_json and listing.shows(result):
            output.show(Result(result.path, result.state, result.report, result.error, said=said))
    outcome = Outcome("admit", (source,), results, None, time.monotonic() - begun)
    if outcome.refused and not (as_json or quiet):
        output.state("not admitted", target, good=False)
        output.detail("Nothing was put there, as something was refused.")
    finish(outcome, as_json=as_json, listing=listing)


def _result(one: Checked, word: str) -> Result:
    if one.error is not None:
        return Result.refused(one.path, one.error)
    return Result(one.path, word, one.report)
