# SPDX-License-Identifier: Apache-2.0
"""``registry show``, ``log`` and ``status``: what a registry says."""

from __future__ import annotations

import itertools
from collections.abc import Container, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import click

from keras_integrity_hook.cli import output
from keras_integrity_hook.cli import registry_places as places
from keras_integrity_hook.cli.output import json_option
from keras_integrity_hook.cli.registry_places import Place, Row, url_option
from keras_integrity_hook.errors import RegistryError, printable

if TYPE_CHECKING:
    from keras_integrity_hook.registry.events import Body
    from keras_integrity_hook.registry.signed import SignedEvent
else:  # for those who look annotations up at run time
    Body = SignedEvent = object

_AT_ONCE = 256
_SHOWN = (
    "origin",
    "model",
    "version",
    "stage",
    "exclusive",
    "rollback",
    "kind",
    "target",
    "reason",
)


@click.command()
@click.argument("model", required=False)
@click.argument("version", required=False)
@click.option("--after", default="", metavar="NAME", help="List the models that follow this one.")
@click.option("--recalls", is_flag=True, help="List what is recalled.")
@url_option
@json_option
def show(  # noqa: PLR0913, PLR0917 - one argument for each option
    model: str | None,
    version: str | None,
    after: str,
    recalls: bool,
    url: str | None,
    as_json: bool,
) -> None:
    """Show models, the versions of one, or one version.

    What is believed when a model is loaded is not this list, but the events and their signatures.
    """
    with places.failures("show", as_json=as_json), places.opened(url) as place:
        if recalls:
            _print("recalls", place.recalls(), as_json=as_json)
        elif model is None:
            _print("models", place.models(after), as_json=as_json)
        elif version is None:
            found = place.versions(model)
            if not found:
                raise _unknown(f"model '{printable(model)}'")
            _print("versions", found, as_json=as_json)
        else:
            one = place.version(model, version)
            if one is None:
                raise _unknown(f"version {printable(version)} of '{printable(model)}'")
            _print("versions", [one], as_json=as_json, whole=True)


@click.command()
@click.option(
    "--model", metavar="NAME", help="Events about this model alone, and recalls of what it is."
)
@click.option(
    "-n",
    "--limit",
    default=20,
    show_default=True,
    type=click.IntRange(1, 100_000),
    help="At most so many, the newest.",
)
@url_option
@json_option
def log(model: str | None, limit: int, url: str | None, as_json: bool) -> None:
    """Show events, the newest first."""
    with places.failures("log", as_json=as_json), places.opened(url) as place:
        found = itertools.islice(_backwards(place, model), limit)
        if as_json:
            output.emit("registry log", ok=True, events=[_event(*one) for one in found])
            return
        names = place.names()
        for position, made in found:
            _tell(position, made, names)


@click.command()
@url_option
@json_option
def status(url: str | None, as_json: bool) -> None:
    """Say which registry is configured, whether it answers, and what it was at last."""
    with places.failures("status", as_json=as_json):
        where = places.url_of(url)
        with places.opened(url) as place:
            facts = _facts(place)
    if as_json:
        output.emit("registry status", ok=True, registry=where, **facts)
        return
    output.state("answers", where)
    output.facts([(name.replace("_", " "), value) for name, value in facts.items()])


def _facts(place: Place) -> dict[str, Any]:
    from keras_integrity_hook.registry import notes
    from keras_integrity_hook.registry.client import spool

    log = place.log()
    checkpoint = notes.unverified_checkpoint(log.checkpoint())
    waiting = spool.names()
    return {
        "registry_id": places.expected_id(place),
        "origin": checkpoint.origin,
        "events": checkpoint.size,
        "root": checkpoint.root.hex(),
        "waiting": len(waiting),
    }


def _backwards(place: Place, model: str | None) -> Iterator[tuple[int, SignedEvent]]:
    """Positions and events from the newest, all or those that name a model."""
    from keras_integrity_hook.registry import signed

    log = place.log()
    roots = set() if model is None else {str(one["root"]) for one in place.versions(model)}
    end = log.size()
    while end > 0:
        start = (end - 1) // _AT_ONCE * _AT_ONCE
        entries = list(enumerate(log.entries(start, end), start))
        for position, entry in reversed(entries):
            made = signed.decode(entry)
            if model is None or _is_about(signed.event_of(made).body, model, roots):
                yield position, made
        end = start


def _is_about(body: Body, model: str, roots: Container[str]) -> bool:
    """Whether an event names a model, or content that one of its newest versions has."""
    digests = getattr(body, "digests", {}).values()
    target = getattr(body, "target", "")
    return getattr(body, "model", None) == model or any(one in roots for one in (target, *digests))


def _tell(position: int, made: SignedEvent, names: Mapping[str, str]) -> None:
    """Print an event, without what is the same for its content wherever it is told."""
    from keras_integrity_hook.registry import signed, spelling

    event = signed.event_of(made)
    body = spelling.plain(event.body)
    shown = [(name, body[name]) for name in _SHOWN if body.get(name)]
    shown = [(name, output.digest(one) if name == "target" else one) for name, one in shown]
    output.state(spelling.KINDS[type(event.body)], f"event {position}")
    by = [names.get(one.keyid, f"{one.keyid[:12]}…") for one in made.signatures]
    facts = [("time", event.time), ("signed by", _listed(by)), ("event", output.digest(made.id))]
    output.facts([*shown, *facts])


def _event(position: int, made: SignedEvent) -> dict[str, Any]:
    from keras_integrity_hook.registry import signed, spelling

    event = signed.event_of(made)
    return {
        "position": position,
        "event": made.id,
        "type": spelling.KINDS[type(event.body)],
        "time": event.time,
        "registry": event.registry,
        "body": spelling.plain(event.body),
        "signatures": [one._asdict() for one in made.signatures],
    }


def _unknown(what: str) -> RegistryError:
    return RegistryError(
        f"no {what} is registered", remedy="'keras-integrity registry show' lists all."
    )


def _print(name: str, rows: Sequence[Row], *, as_json: bool, whole: bool = False) -> None:
    if as_json:
        output.emit("registry show", ok=True, **{name: [dict(row) for row in rows]})
        return
    for row in rows:
        {"models": _model, "recalls": _recall, "versions": _version}[name](row)
        if whole:
            _details(row)
    if not rows:
        click.echo("None." if name == "recalls" else "No model is registered.")


def _model(row: Row) -> None:
    output.state("model", str(row["name"]))
    stages = [(f"at {stage}", _listed(found)) for stage, found in row["stages"].items()]
    output.facts([("versions", row["versions"]), ("highest", row["highest"]), *stages])


def _version(row: Row) -> None:
    word = "recalled" if row["recalled"] else "registered"
    output.state(word, f"{row['model']} {row['version']}", good=not row["recalled"])
    facts = [("at", _listed(row["stages"]) or "no stage"), ("by", _listed(row["signers"]))]
    output.facts(
        [
            *facts,
            ("time", row["time"]),
            ("root", f"{row['algorithm']}:{output.digest(row['root'])}"),
        ]
    )


def _details(row: Row) -> None:
    facts = [("size", f"{row['size']:,} bytes"), ("container", row["container"])]
    facts += [("event", row["registered"]), ("statement", output.digest(row["statement"]))]
    digests = row["digests"].items()
    facts += [(name, output.digest(one)) for name, one in digests if name != row["algorithm"]]
    output.facts([*facts, *row["provenance"].items()])


def _recall(row: Row) -> None:
    output.state("recalled", f"{row['kind']} {output.digest(row['target'])}", good=False)
    versions = _listed([f"{name} {version}" for name, version in row["versions"]])
    facts = [("reason", row["reason"]), ("by", _listed(row["signers"])), ("time", row["time"])]
    output.facts([*facts, ("event", row["event"]), *([("is", versions)] if versions else [])])


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names)
