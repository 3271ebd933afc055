# SPDX-License-Identifier: Apache-2.0
"""``registry verify``, ``rebuild`` and ``export``: what whoever keeps a registry does with it."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import click

from keras_integrity_hook import settings
from keras_integrity_hook.cli import output
from keras_integrity_hook.cli import registry_places as places
from keras_integrity_hook.cli.output import json_option
from keras_integrity_hook.cli.registry_places import service_key_option, url_option
from keras_integrity_hook.texts import plural

if TYPE_CHECKING:
    from keras_integrity_hook.registry.whole import Expected, Fault, Report
else:  # for those who look annotations up at run time
    Expected = Fault = Report = object


@click.command()
@click.option(
    "--seen",
    multiple=True,
    type=click.Path(),
    metavar="FILE",
    help="A checkpoint from before, which the log has to continue.",
)
@url_option
@json_option
def verify(seen: tuple[str, ...], url: str | None, as_json: bool) -> None:
    """Look at the whole log: every signature, every rule, the tree and its checkpoint.

    Nothing that is kept beside the log is believed, and the tables of a database are compared with
    what follows from it. Checkpoints that this machine saw before have to be continued.
    """
    from keras_integrity_hook.registry import whole

    with places.failures("verify", as_json=as_json), places.opened(url) as place:
        expected = _expected(places.url_of(url), place.log(), seen)
        report = whole.verify(place.log(), datetime.now(UTC), expected)
    _tell(report, as_json=as_json)
    sys.exit(output.REFUSED if report.faults else output.OK)


@click.command()
@click.option("--upgrade", is_flag=True, help="Bring tables of an older version up to date first.")
@url_option
@json_option
def rebuild(upgrade: bool, url: str | None, as_json: bool) -> None:
    """Make the tables of what follows from the log anew."""
    opened = places.opened_store(url, upgrade=upgrade)
    with places.failures("rebuild", as_json=as_json), opened as store:
        count = store.rebuild()
    if as_json:
        output.emit("registry rebuild", ok=True, events=count)
        return
    output.state("rebuilt", f"from {plural(count, 'event')}")


@click.command()
@click.argument("directory", type=click.Path())
@click.option(
    "--valid-for",
    default="24h",
    show_default=True,
    metavar="TIME",
    help="How long its answers are to be believed; export again before that.",
)
@url_option
@service_key_option
@json_option
def export(
    directory: str, valid_for: str, url: str | None, service_key: str | None, as_json: bool
) -> None:
    """Write the registry as files that any web server serves, or bring them up to date.

    Clients read such a mirror by https://HOST/PATH or file:///PATH.
    """
    from keras_integrity_hook.cli.signing import prompt
    from keras_integrity_hook.registry import export as exporting
    from keras_integrity_hook.signing import signers

    lasting, now = places.length(valid_for, "--valid-for"), datetime.now(UTC)
    with places.failures("export", as_json=as_json), places.opened_store(url) as store:
        key = signers.find(places.service_key_of(places.url_of(url), service_key), prompt())
        with store.snapshot() as moment:
            done = exporting.export(moment, directory, key, now, now + lasting)
    if as_json:
        output.emit("registry export", ok=True, directory=directory, **done._asdict())
        return
    output.state("exported", directory)
    output.facts([(name, value) for name, value in done._asdict().items()])


def _expected(url: str, log: Any, seen: tuple[str, ...]) -> Expected:
    """What is known of the registry: its id, checkpoints seen before, what its tables say."""
    from keras_integrity_hook.files import reading
    from keras_integrity_hook.limits import LIMITS
    from keras_integrity_hook.registry.whole import Expected

    found = [reading.read_file(one, LIMITS.registry_note) for one in seen]
    registry_id = settings.at().registry_id or ""
    found += _remembered(url, registry_id)
    differences = getattr(log, "differences", None)
    return Expected(registry_id, tuple(found), differences)


def _remembered(url: str, registry_id: str) -> Iterator[bytes]:
    """The checkpoint that loads of this user saw last."""
    from keras_integrity_hook.registry.client import memory

    with contextlib.suppress(OSError):
        note = memory.seen(memory.Asked(url, registry_id, ())).note
        if registry_id and note:
            yield note


def _tell(report: Report, *, as_json: bool) -> None:
    facts = {
        "registry_id": report.registry_id,
        "events": report.size,
        "root": report.checkpoint.root.hex(),
    }
    if as_json:
        faults = [one._asdict() for one in report.faults]
        output.emit("registry verify", ok=not faults, **facts, faults=faults)
        return
    for fault in report.faults:
        where = "" if fault.position is None else f"event {fault.position}: "
        output.state(fault.what, f"{where}{fault.cause}", good=False)
    if not report.faults:
        output.state("verified", plural(report.size, "event"))
    output.facts([(name.replace("_", " "), value) for name, value in facts.items()])
