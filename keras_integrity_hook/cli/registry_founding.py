# SPDX-License-Identifier: Apache-2.0
"""``registry init``: found a registry in a database."""

from __future__ import annotations

import contextlib
import os
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import click

from keras_integrity_hook.cli import output, registry_roles
from keras_integrity_hook.cli import registry_places as places
from keras_integrity_hook.cli import registry_signing as signing
from keras_integrity_hook.cli.output import json_option
from keras_integrity_hook.cli.registry_places import service_key_option, url_option
from keras_integrity_hook.cli.registry_signing import Given, keys_option, out_option
from keras_integrity_hook.cli.signing import prompt

if TYPE_CHECKING:
    from keras_integrity_hook.registry.events import Roles, Service
    from keras_integrity_hook.registry.signed import SignedEvent
else:  # for those who look annotations up at run time
    Roles = Service = SignedEvent = object

_STAGES = ("staging", "production")


@click.command()
@url_option
@click.option(
    "--origin",
    required=True,
    metavar="NAME",
    help="What the log is called for ever, a URL without https://, such as models.example.com/log.",
)
@click.option(
    "--roles", "roles_file", metavar="FILE", type=click.Path(), help="TOML: who may do what."
)
@click.option("--admin", metavar="NAME", help="Instead of --roles: who has --key, and may do all.")
@click.option(
    "--stage",
    "stages",
    multiple=True,
    metavar="NAME",
    help="With --admin; else staging, production.",
)
@keys_option
@service_key_option
@click.option(
    "--service-days",
    default=365,
    show_default=True,
    type=click.IntRange(1, 3650),
    help="After which a service key that is not in --roles expires.",
)
@out_option
@json_option
def init(  # noqa: PLR0913, PLR0917 - one argument for each option
    url: str | None,
    origin: str,
    roles_file: str | None,
    admin: str | None,
    stages: tuple[str, ...],
    keys: tuple[str, ...],
    service_key: str | None,
    service_days: int,
    out: str | None,
    as_json: bool,
) -> None:
    """Found a registry in a database, which is made where there is none.

    The event that does it names who may do what, and is signed by as many administrators as that
    says. The service's key signs checkpoints only; it is made where it is a file that is not there,
    for SQLite beside the database. Keep the registry's id: machines that have it believe no other
    registry.
    """
    if (roles_file is None) is (admin is None):
        raise click.UsageError("Give either --roles FILE or --admin NAME.")
    given = Given(url, keys, service_key, out, as_json)
    with places.failures("init", as_json=as_json), contextlib.ExitStack() as undone:
        where = places.url_of(url)
        places.refuse_remote(where)
        service = _service(where, service_key, service_days, undone)
        found = (
            _of_one(str(admin), given, stages or _STAGES)
            if roles_file is None
            else registry_roles.read(roles_file)
        )
        if service.keyid not in [one.keyid for one in found.services]:
            name = f"service-{len(found.services) + 1}" if found.services else service.name
            service = service._replace(name=name)
            found = found._replace(services=(*found.services, service))
        made = _founding(origin, found, given)
        if out is not None:
            signing.write_new(out, made)
        else:
            if not where.startswith(places.SQLITE):
                undone.pop_all()  # whatever comes of it, that database may need the key
            appended(where, made, service_key)
        undone.pop_all()
    _report(made, given, where)


def appended(url: str, made: SignedEvent, service_key: str | None) -> int:
    """Put the event that founds a registry into a database; its position.

    Raises:
        EventRefusedError: there is one already, or it is signed by too few.
    """
    from keras_integrity_hook.registry import state
    from keras_integrity_hook.registry.store import open_store
    from keras_integrity_hook.signing import signers

    state.apply(state.EMPTY, made)  # before there is a file
    key = signers.find(places.service_key_of(url, service_key), prompt())
    with open_store(url, create=True) as store:
        return store.append(made, service_key=key, now=datetime.now(UTC)).position


def _founding(origin: str, found: Roles, given: Given) -> SignedEvent:
    from keras_integrity_hook.registry import signed
    from keras_integrity_hook.registry.events import Founded

    event = signed.new_event(Founded(origin, found), "")
    return signing.signed_by(signed.SignedEvent(signed.payload_of(event)), given.references())


def _of_one(name: str, given: Given, stages: tuple[str, ...]) -> Roles:
    """Roles of a registry that one person runs."""
    from keras_integrity_hook.registry.events import Actor, Role, Roles
    from keras_integrity_hook.signing import signers

    key = signers.find(given.references()[0], prompt()).public
    may = Role((name,))
    actor = Actor(name, key.keyid, key.scheme, key.pem)
    return Roles((actor,), (), may, may, may, may, dict.fromkeys(stages, may))


def _service(url: str, reference: str | None, days: int, undone: contextlib.ExitStack) -> Service:
    """The service, whose key is made where it is a file that there is not.

    Args:
        undone: gets what removes such a key again, as long as nothing was founded with it.
    """
    from keras_integrity_hook.registry.events import Service
    from keras_integrity_hook.sealing.statement import spelled
    from keras_integrity_hook.signing import private, signers

    path = places.service_key_of(url, reference)
    if signers.scheme_of(path) == "file" and not os.path.exists(path):
        # A service starts by itself: there is nobody to ask for a passphrase.
        key = private.write_pair(path, "ed25519", None)
        undone.callback(_remove_key, path, url)
    else:
        key = signers.find(path, prompt()).public
    expires = datetime.now(UTC) + timedelta(days=days)
    return Service("service", key.keyid, key.pem, spelled(expires))


def _remove_key(path: str, url: str) -> None:
    """Once there is a database, it may need the key."""
    if not (url.startswith(places.SQLITE) and os.path.exists(url.removeprefix(places.SQLITE))):
        for one in (path, f"{path}.pub"):
            with contextlib.suppress(OSError):
                os.unlink(one)


def _report(made: SignedEvent, given: Given, url: str) -> None:
    if given.as_json:
        output.emit("registry init", ok=True, registry=url, registry_id=made.id, file=given.out)
        return
    key = ("service's key", places.service_key_of(url, given.service_key))
    if given.out is not None:
        output.state("written", given.out)
        output.facts([("registry id", made.id), ("signatures", len(made.signatures)), key])
        output.detail(f"When all have signed: 'keras-integrity registry submit {given.out}'.")
        return
    output.state("founded", url)
    output.facts([("registry id", made.id), key])
    output.detail("A policy names it by both:")
    output.detail(f'registry = "{url}"')
    output.detail(f'registry_id = "{made.id}"')
