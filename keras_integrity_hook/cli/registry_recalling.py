# SPDX-License-Identifier: Apache-2.0
"""``registry recall`` and ``restore``: content or keys that nobody may use any more, or again."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import click

from keras_integrity_hook.cli import registry_places as places
from keras_integrity_hook.cli import registry_signing as signing
from keras_integrity_hook.cli.registry_acts import known_version
from keras_integrity_hook.cli.registry_places import Place
from keras_integrity_hook.cli.registry_signing import Given, event_options
from keras_integrity_hook.errors import printable
from keras_integrity_hook.sealing.tree import HEX

_HOW = "MODEL VERSION, --path PATH, --digest HEX or --keyid KEYID"


_DONE = {"recall": "recalled", "restore": "restored"}


class Named(NamedTuple):
    """What the command line names: one of these, a model with its version."""

    model: str | None
    version: str | None
    path: str | None
    digest: str | None
    keyid: str | None


class Target(NamedTuple):
    """What is recalled.

    Attributes:
        kind, target, digests: as of ``events.Recalled``.
        about: for people.
    """

    kind: str
    target: str
    digests: dict[str, str]
    about: str


def _target_options(command: Callable[..., None]) -> Callable[..., None]:
    reason = click.option("--reason", required=True, metavar="TEXT", help="Why; all are told it.")
    key = click.option("--keyid", metavar="KEYID", help="A key, and all that it signed.")
    digest = click.option("--digest", metavar="HEX", help="A root, under whatever algorithm.")
    path = click.option("--path", type=click.Path(), help="What this file or model holds now.")
    version = click.argument("version", required=False)
    return click.argument("model", required=False)(version(path(digest(key(reason(command))))))


@click.command()
@_target_options
@event_options
def recall(url: str | None, keys: tuple[str, ...], service_key: str | None, **given: Any) -> None:
    """Say that a content, or whatever a key signed, may not be used any more.

    Name it by MODEL VERSION, --path, --digest or --keyid. A content is recalled under all digests
    that are known of it: to seal it anew does not bring it back. Machines refuse it as soon as they
    ask the registry, which they do at each load.
    """
    _act("recall", Given(url, keys, service_key, given.pop("out"), given.pop("as_json")), **given)


@click.command()
@_target_options
@event_options
def restore(url: str | None, keys: tuple[str, ...], service_key: str | None, **given: Any) -> None:
    """Say that a recall was a mistake: what was recalled may be used again.

    Name it by MODEL VERSION, --path, --digest or --keyid. It is in the stages where it was.
    """
    _act("restore", Given(url, keys, service_key, given.pop("out"), given.pop("as_json")), **given)


def _act(command: str, given: Given, *, reason: str, **words: str | None) -> None:
    from keras_integrity_hook.registry.events import Recalled, Restored

    named = Named(**words)
    with places.failures(command, as_json=given.as_json):
        _refuse_several(named)
        with places.opened(given.url, given.service_key) as place:
            found = _target(place, named)
            body = (
                Recalled(found.kind, found.target, reason, found.digests)
                if command == "recall"
                else Restored(found.kind, found.target, reason)
            )
            done = signing.deliver(body, given, place)
        facts = [("target", found.target), ("reason", reason)]
        signing.told(command, done, given, f"{_DONE[command]} {found.about}", facts)


def _refuse_several(named: Named) -> None:
    if sum(one is not None for one in named) - (named.version is not None) != 1:
        raise click.UsageError(f"Name one thing: {_HOW}.")
    if (named.model is None) is not (named.version is None):
        raise click.UsageError(f"A model is named with its version: {_HOW}.")
    for one in (named.digest, named.keyid):
        if one is not None and not HEX.fullmatch(one):
            raise click.UsageError(f"'{printable(one)}' is not 64 or 128 hex digits.")


def _target(place: Place, named: Named) -> Target:
    if named.keyid is not None:
        return Target("key", named.keyid, {}, f"the key {named.keyid}")
    if named.digest is not None:
        return Target("root", named.digest, {}, named.digest)
    if named.path is not None:
        return _content(named.path)
    row = known_version(place, str(named.model), str(named.version))
    return Target("root", row["root"], dict(row["digests"]), f"{row['model']} {row['version']}")


def _content(path: str) -> Target:
    """What lies at ``path`` now, whatever its seal says of it."""
    from keras_integrity_hook.containers import recognition
    from keras_integrity_hook.registry import contents
    from keras_integrity_hook.verification import pinning

    with pinning.open_as_it_is(path, recognition.recognise(path)) as model:
        return Target("root", model.seal.statement.root, contents.roots(model), path)
