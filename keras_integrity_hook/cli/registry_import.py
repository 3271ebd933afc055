# SPDX-License-Identifier: Apache-2.0
"""``registry import``: what was known before there was a registry, brought into it."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import click

from keras_integrity_hook import settings
from keras_integrity_hook.cli import output
from keras_integrity_hook.cli import registry_places as places
from keras_integrity_hook.cli import registry_signing as signing
from keras_integrity_hook.cli.group import Group
from keras_integrity_hook.cli.output import json_option
from keras_integrity_hook.cli.registry_places import Place, service_key_option, url_option
from keras_integrity_hook.cli.registry_signing import Given, keys_option
from keras_integrity_hook.cli.signing import prompt
from keras_integrity_hook.errors import RegistryError

if TYPE_CHECKING:
    from keras_integrity_hook.mlflow_registry.importing import Brought
    from keras_integrity_hook.registry.events import Body, Recalled
    from keras_integrity_hook.registry.verdicts import Verdict
else:  # for those who look annotations up at run time
    Brought = Body = Recalled = Verdict = object

_dry_run = click.option("--dry-run", is_flag=True, help="Say what would be done; sign nothing.")


@click.group("import", cls=Group)
def import_() -> None:
    """Bring in what other places know: models of MLflow, revocations of trust files, a mirror.

    What is no event yet becomes one that you sign. It can be run again: what is there stays as it
    is.
    """


@import_.command()
@click.argument("source", metavar="URL")
@url_option
@service_key_option
@json_option
def mirror(source: str, url: str | None, service_key: str | None, as_json: bool) -> None:
    """Fill a new database with the log of the mirror, or the service, at URL.

    All of the log is verified first. The events are the same then, and so are the registry's id and
    what clients remember of it: this is for whoever has lost a database and its backup.
    """
    with places.failures("import mirror", as_json=as_json):
        where = places.url_of(url)
        places.refuse_remote(where)
        count = _copied(source, where, places.service_key_of(where, service_key))
    if as_json:
        output.emit("registry import mirror", ok=True, registry=where, events=count)
        return
    output.state("imported", where)
    output.facts([("events", count), ("from", source)])


def _copied(source: str, url: str, service_key: str) -> int:
    """Events that were copied; raises RegistryError, also where the log has a fault."""
    from keras_integrity_hook.registry import whole
    from keras_integrity_hook.registry.store import open_store
    from keras_integrity_hook.signing import signers

    now, key = datetime.now(UTC), signers.find(service_key, prompt())
    with places.opened(source) as there:
        log = there.log()
        expected = whole.Expected(settings.at().registry_id or "")
        faults = whole.verify(log, now, expected).faults
        if faults:
            raise RegistryError(
                f"the log of {source} is not to be believed: {faults[0].cause}",
                remedy="'keras-integrity registry verify' says all that is wrong with it.",
            )
        with open_store(url, create=True) as store:
            return store.copy(log, service_key=key, now=now)


@import_.command()
@click.argument("uri")
@click.argument("models", nargs=-1)
@click.option("--restage", is_flag=True, help="Promote versions that were registered before, too.")
@_dry_run
@url_option
@keys_option
@service_key_option
@json_option
def mlflow(  # noqa: PLR0913, PLR0917 - one argument for each option
    uri: str,
    models: tuple[str, ...],
    restage: bool,
    dry_run: bool,
    url: str | None,
    keys: tuple[str, ...],
    service_key: str | None,
    as_json: bool,
) -> None:
    """Register the model versions of the MLflow registry at URI, and promote by its aliases.

    All models, or those that are named. The artifacts of each version are fetched and read; an
    alias, or a stage, becomes a promotion to the stage of that name, where the registry has one.
    """
    given = Given(url, keys, service_key, None, as_json)
    with (
        places.failures("import mlflow", as_json=as_json),
        places.opened(url, service_key) as place,
    ):
        from keras_integrity_hook.mlflow_registry import importing

        registry = _Registry(place, given, dry_run=dry_run)
        done = []
        for one in importing.bring(uri, models, registry, restage=restage):
            done.append(one)
            if not as_json:
                _show_brought(one, dry_run=dry_run)
    ok = all(one.error is None for one in done)
    if as_json:
        versions = [_spelled(one) for one in done]
        output.emit("registry import mlflow", ok=ok, uri=uri, dry_run=dry_run, versions=versions)
    elif not done:
        click.echo("There is no version of a registered model.")
    sys.exit(output.OK if ok else output.REFUSED)


@import_.command()
@click.argument("file", type=click.Path(), required=False)
@click.option("--also-keys", "with_keys", is_flag=True, help="Recall the revoked keys, too.")
@_dry_run
@url_option
@keys_option
@service_key_option
@json_option
def revocations(  # noqa: PLR0913, PLR0917 - one argument for each option
    file: str | None,
    with_keys: bool,
    dry_run: bool,
    url: str | None,
    keys: tuple[str, ...],
    service_key: str | None,
    as_json: bool,
) -> None:
    """Recall for the fleet the models that trust files revoke: those of FILE, or of this machine.

    They stay in the trust files: there they count without any registry.
    """
    given = Given(url, keys, service_key, None, as_json)
    with (
        places.failures("import revocations", as_json=as_json),
        places.opened(url, service_key) as place,
    ):
        registry = _Registry(place, given, dry_run=dry_run)
        rows = [(one, _recalled(registry, one)) for one in _revocations(file, with_keys=with_keys)]
    if as_json:
        listed = [
            {"kind": body.kind, "target": body.target, "reason": body.reason, "changed": changed}
            for body, changed in rows
        ]
        output.emit("registry import revocations", ok=True, dry_run=dry_run, recalled=listed)
        return
    word = "would recall" if dry_run else "recalled"
    for body, changed in rows:
        output.state(word if changed else "known", body.target)
        output.facts([("kind", body.kind), ("reason", body.reason or "none given")])
    if not rows:
        click.echo("No trust file revokes a model.")


class _Registry:
    """The registry at a place, as an import uses it: nothing is told where it is only tried."""

    def __init__(self, place: Place, given: Given, *, dry_run: bool) -> None:
        self._place, self._given, self._dry_run = place, given, dry_run
        self._id = places.expected_id(place)
        self._prompt = prompt()  # one for all events: nobody types a passphrase for each

    def tell(self, body: Body) -> None:
        """Have an event signed and put into the log."""
        from keras_integrity_hook.registry import signed

        if self._dry_run:
            return
        payload = signed.payload_of(signed.new_event(body, self._id))
        keys = self._given.references()
        signatures = tuple(signed.sign(payload, key, self._prompt) for key in keys)
        signing.submitted(self._place, signed.SignedEvent(payload, signatures))

    def ask(self, digests: Sequence[str], keys: Sequence[str] = ()) -> Verdict:
        """What the registry knows of a content, or of keys."""
        from keras_integrity_hook.registry.client import ask

        in_force = settings.at()
        return ask(
            places.url_of(self._given.url),
            digests,
            keys=keys,
            registry_id=self._id,
            max_age=in_force.registry_max_age,
            timeout=in_force.registry_timeout,
        )


def _revocations(file: str | None, *, with_keys: bool) -> list[Recalled]:
    """What trust files say, as events would."""
    from keras_integrity_hook.files import owned
    from keras_integrity_hook.limits import LIMITS
    from keras_integrity_hook.registry.events import Recalled
    from keras_integrity_hook.signing import trust_file, trust_store

    if file is None:
        found = trust_store.store()
        models, keys = list(found.revoked_models.values()), list(found.revoked_keys.values())
    else:
        parsed = trust_file.parse(owned.read_named(file, LIMITS.trust_file), file)
        models, keys = list(parsed.revoked_models), list(parsed.revoked_keys)
    bodies = [Recalled("root", one.target, one.reason) for one in models]
    return bodies + [Recalled("key", one.target, one.reason) for one in keys if with_keys]


def _recalled(registry: _Registry, body: Recalled) -> bool:
    """Recall it, unless it is; whether that was needed."""
    is_key = body.kind == "key"
    verdict = registry.ask(() if is_key else (body.target,), (body.target,) if is_key else ())
    if any((one.kind, one.target) == (body.kind, body.target) for one in verdict.recalls):
        return False
    registry.tell(body)
    return True


def _show_brought(one: Brought, *, dry_run: bool) -> None:
    word = "would register" if dry_run and one.state == "registered" else one.state
    output.state(
        word, f"{one.version.model} {one.version.number}", good=one.state != "not registered"
    )
    facts: list[tuple[str, object]] = [("root", one.root)] if one.root else []
    if one.promoted:
        facts.append(("promoted to", ", ".join(one.promoted)))
    if facts:
        output.facts(facts)
    for fact in one.error.facts() if one.error is not None else ():
        output.detail(fact)


def _spelled(one: Brought) -> dict[str, Any]:
    return {
        "model": one.version.model,
        "version": one.version.number,
        "state": one.state,
        "root": one.root,
        "promoted": list(one.promoted),
        "error": one.error.to_dict() if one.error is not None else None,
    }
