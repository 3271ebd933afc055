# SPDX-License-Identifier: Apache-2.0
"""``registry register``, ``promote`` and ``withdraw``: what happens to versions of models."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from keras_integrity_hook import api
from keras_integrity_hook.cli import files
from keras_integrity_hook.cli import registry_places as places
from keras_integrity_hook.cli import registry_signing as signing
from keras_integrity_hook.cli.output import Listing, Result, quiet_option
from keras_integrity_hook.cli.registry_places import Place, Row
from keras_integrity_hook.cli.registry_signing import Given, event_options
from keras_integrity_hook.containers.model_file import SealedModel
from keras_integrity_hook.errors import (
    EventRefusedError,
    RegistryError,
    UnsealedModelError,
    printable,
)

if TYPE_CHECKING:
    from keras_integrity_hook.registry.events import Registered
else:  # for those who look annotations up at run time
    Registered = object

stage_option = click.option("--stage", required=True, metavar="NAME", help="Such as production.")


@click.command()
@files.paths_argument
@click.option("--model", metavar="NAME", help="What it is called, where its seal does not say.")
@click.option("--version", metavar="VERSION", help="Likewise (PEP 440).")
@quiet_option
@event_options
def register(  # noqa: PLR0913, PLR0917 - one argument for each option
    paths: tuple[str, ...],
    model: str | None,
    version: str | None,
    quiet: bool,
    url: str | None,
    keys: tuple[str, ...],
    service_key: str | None,
    out: str | None,
    as_json: bool,
) -> None:
    """Register the content of sealed models, under the name and version that their seals say.

    A version has one content for ever. The content is compared with its seal, and its digest is
    registered under every algorithm, so that a recall covers it however it is sealed.
    """
    given = Given(url, keys, service_key, out, as_json)
    if (out or version) and len(paths) > 1:
        raise click.UsageError("--out and --version are for one model.")
    with places.failures("register", as_json=as_json), places.opened(url, service_key) as place:
        given.references()

        def put(path: str) -> Result:
            return _register(_registration(path, model, version), path, given, place)

        listing = Listing.of(quiet=quiet)
        files.run("registry register", paths, put, as_json=as_json, listing=listing)


@click.command()
@click.argument("model")
@click.argument("version")
@stage_option
@click.option("--exclusive", is_flag=True, help="Every other version leaves the stage.")
@click.option(
    "--rollback", is_flag=True, help="It is meant that a higher version was there before."
)
@event_options
def promote(  # noqa: PLR0913, PLR0917 - one argument for each option
    model: str,
    version: str,
    stage: str,
    exclusive: bool,
    rollback: bool,
    url: str | None,
    keys: tuple[str, ...],
    service_key: str | None,
    out: str | None,
    as_json: bool,
) -> None:
    """Say that a registered version may be used at a stage."""
    from keras_integrity_hook.registry.events import Promoted

    given = Given(url, keys, service_key, out, as_json)
    with places.failures("promote", as_json=as_json), places.opened(url, service_key) as place:
        row = known_version(place, model, version)
        name, spelled = row["model"], row["version"]
        body = Promoted(name, spelled, row["root"], stage, exclusive, rollback)
        done = signing.deliver(body, given, place)
        signing.told("promote", done, given, f"promoted {name} {spelled}", [("stage", stage)])


@click.command()
@click.argument("model")
@click.argument("version")
@stage_option
@click.option("--reason", default="", metavar="TEXT", help="Why; it stays in the log.")
@event_options
def withdraw(  # noqa: PLR0913, PLR0917 - one argument for each option
    model: str,
    version: str,
    stage: str,
    reason: str,
    url: str | None,
    keys: tuple[str, ...],
    service_key: str | None,
    out: str | None,
    as_json: bool,
) -> None:
    """Say that a version may no longer be used at a stage."""
    from keras_integrity_hook.registry.events import Withdrawn

    given = Given(url, keys, service_key, out, as_json)
    with places.failures("withdraw", as_json=as_json), places.opened(url, service_key) as place:
        row = known_version(place, model, version)
        name, spelled = row["model"], row["version"]
        done = signing.deliver(Withdrawn(name, spelled, row["root"], stage, reason), given, place)
        signing.told("withdraw", done, given, f"withdrawn {name} {spelled}", [("stage", stage)])


def known_version(place: Place, model: str, version: str) -> Row:
    """The version of the model.

    Raises:
        RegistryError: it is not registered.
    """
    found = place.version(model, version)
    if found is None:
        cause = f"version {printable(version)} of '{printable(model)}' is not registered"
        remedy = "'keras-integrity registry show' lists what is."
        raise RegistryError(cause, remedy=remedy)
    return found


def _registration(path: str, name: str | None, version: str | None) -> Registered:
    from keras_integrity_hook.loading import at_hand
    from keras_integrity_hook.registry import contents

    with at_hand.to_read(path) as name_here, api.opened(name_here) as model:
        if not isinstance(model, SealedModel):
            raise UnsealedModelError("the model has no seal to register", path=model.path)
        return contents.registration(model, name=name, version=version)


def _register(body: Registered, path: str, given: Given, place: Place) -> Result:
    """Register one model; it is no failure that it is registered already."""
    about = f"{body.model} {body.version}"
    try:
        done = signing.deliver(body, given, place)
    except EventRefusedError as error:
        if error.rule != "registered":
            raise
        return Result(path, "registered", note=f"{about}, as it was already.")
    if done.position is None:
        note = f"{about}, in {given.out}: 'keras-integrity registry submit' puts it there."
        return Result(path, "written", note=note)
    return Result(path, "registered", note=f"{about}, event {done.position}: {done.event}")
