# SPDX-License-Identifier: Apache-2.0
"""Where the registry is that a command is about, and what may be done there."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Protocol

import click

from keras_integrity_hook import settings
from keras_integrity_hook.cli import output
from keras_integrity_hook.errors import (
    ConfigurationError,
    IntegrityError,
    MalformedEventError,
    RegistryError,
)
from keras_integrity_hook.limits import LIMITS

if TYPE_CHECKING:
    from keras_integrity_hook.registry.events import Roles
    from keras_integrity_hook.registry.mirrors import MirroredLog
    from keras_integrity_hook.registry.signed import SignedEvent
    from keras_integrity_hook.registry.store import Store
    from keras_integrity_hook.registry.whole import Source
else:  # for those who look annotations up at run time
    Roles = MirroredLog = SignedEvent = Store = Source = object

SQLITE = "sqlite:///"
_REMOTE = ("https://", "http://", "file://")
_PAGE = 100
_ENTRIES = 256
Row = Mapping[str, Any]
"""A row of a list (``registry.store``), by its fields."""

url_option = click.option("--registry", "url", metavar="URL", help="Which one; else the setting.")
service_key_option = click.option(
    "--service-key",
    metavar="KEY",
    help="Signs the checkpoint where the registry is a database; for SQLite '<database>.key'.",
)


class Place(Protocol):
    """A registry, wherever it is."""

    def log(self) -> Source:
        """The log itself."""

    def registry_id(self) -> str:
        """Which one it is."""

    def roles(self) -> Roles:
        """Who may do what now."""

    def names(self) -> Mapping[str, str]:
        """Of actors by the ids of their keys, as far as that is quickly known."""

    def submit(self, signed: SignedEvent) -> int:
        """Put an event into the log; its position there."""

    def models(self, after: str) -> list[Row]:
        """Models by name, those after ``after``; a page."""

    def versions(self, model: str) -> list[Row]:
        """The newest versions of a model; none where nobody knows it."""

    def version(self, model: str, version: str) -> Row | None:
        """One version."""

    def recalls(self) -> list[Row]:
        """The newest recalls in force."""


@contextmanager
def opened(url: str | None, service_key: str | None = None) -> Iterator[Place]:
    """The registry at ``url``, or the one that is configured.

    Raises:
        ConfigurationError: none is, or that is no URL of a registry.
        RegistryError: none is there.
    """
    where = url_of(url)
    if where.startswith(_REMOTE):
        yield Remote(where)
        return
    from keras_integrity_hook.registry.store import open_store

    with open_store(where) as store:
        yield Database(where, store, service_key)


@contextmanager
def opened_store(url: str | None, *, upgrade: bool = False) -> Iterator[Store]:
    """As :func:`opened`, a database: raises ConfigurationError where it is none.

    Args:
        upgrade: whether its tables, if they are of an older version, are brought up to date.
    """
    where = url_of(url)
    refuse_remote(where)
    from keras_integrity_hook.registry.store import open_store

    with open_store(where, upgrade=upgrade) as store:
        yield store


def refuse_remote(url: str) -> None:
    """Raise ConfigurationError where ``url`` is that of a service or a mirror."""
    if url.startswith(_REMOTE):
        cause = "this needs the registry's database, and not a service or a mirror"
        remedy = "Give --registry sqlite:///PATH or postgresql+psycopg://HOST/NAME."
        raise ConfigurationError(cause, remedy=remedy)


def url_of(given: str | None) -> str:
    """The URL that is given or configured; raises ConfigurationError."""
    if given is None:
        found = settings.at().registry
        if found is None:
            cause = "no registry is given or configured"
            remedy = "Name one with --registry, or in a policy (registry = …)."
            raise ConfigurationError(cause, remedy=remedy)
        return found
    from keras_integrity_hook.settings.value_types import RegistryURL

    try:
        return str(RegistryURL().from_toml(given, os.getcwd()))
    except ValueError as error:
        remedy = "docs/registry.md has examples."
        raise ConfigurationError(f"--registry: {error}", remedy=remedy) from None


def expected_id(place: Place) -> str:
    """The id of the registry; the configured one, where one is, and no other.

    Raises:
        RegistryError: it is another one, for which nothing is signed.
    """
    found, wanted = place.registry_id(), settings.at().registry_id
    if wanted is not None and found != wanted:
        cause = f"this is the registry {found[:12]}…, and {wanted[:12]}… is configured"
        raise RegistryError(cause, remedy="Compare --registry and the setting registry_id.")
    return found


def service_key_of(url: str, given: str | None) -> str:
    """A reference to the key that signs the checkpoints of a database."""
    if given is not None:
        return given
    if url.startswith(SQLITE):
        return f"{url.removeprefix(SQLITE)}.key"
    cause = "whoever writes into a registry's database signs its checkpoint"
    remedy = "Name the service's key with --service-key, or the registry by its service's URL."
    raise ConfigurationError(cause, remedy=remedy)


class Database:
    """A registry in a database."""

    def __init__(self, url: str, store: Store, service_key: str | None) -> None:
        self._url, self._store, self._service_key = url, store, service_key

    def log(self) -> Source:
        return self._store

    def registry_id(self) -> str:
        found = self._store.registry_id()
        if not found:
            self._store.checkpoint()  # which says that nobody has founded one
        return found

    def roles(self) -> Roles:
        return self._store.roles()

    def names(self) -> Mapping[str, str]:
        return {actor.keyid: actor.name for actor in self.roles().actors}

    def submit(self, signed: SignedEvent) -> int:
        from keras_integrity_hook.cli.signing import prompt
        from keras_integrity_hook.signing import signers

        key = signers.find(service_key_of(self._url, self._service_key), prompt())
        return self._store.append(signed, service_key=key, now=datetime.now(UTC)).position

    def models(self, after: str) -> list[Row]:
        return [one._asdict() for one in self._store.models(after=after, limit=_PAGE)]

    def versions(self, model: str) -> list[Row]:
        return [one._asdict() for one in self._store.versions(model, limit=_PAGE)]

    def version(self, model: str, version: str) -> Row | None:
        found = self._store.version(model, version)
        return None if found is None else found._asdict()

    def recalls(self) -> list[Row]:
        return [one._asdict() for one in self._store.recalls(limit=_PAGE)]


class Remote:
    """A registry behind a service, or a mirror: its log is verified, its lists are believed."""

    def __init__(self, url: str) -> None:
        from keras_integrity_hook.registry.client import sources

        self.url = url
        self._source = sources.source(url, settings.at().registry_timeout.total_seconds())
        self._log: MirroredLog | None = None

    def log(self) -> MirroredLog:
        from keras_integrity_hook.registry.mirrors import MirroredLog

        if self._log is None:
            self._log = MirroredLog(self._read)
        return self._log

    def registry_id(self) -> str:
        from keras_integrity_hook.registry import signed

        return signed.decode(self.log().entries(0, 1)[0]).id

    def roles(self) -> Roles:
        """Those that follow from the log, whose events are verified: all of it is read."""
        from keras_integrity_hook.registry import events, signed
        from keras_integrity_hook.registry.state import Replay

        replay, position = Replay(), 0
        while entries := self.log().entries(position, position + _ENTRIES):
            for event in map(signed.decode, entries):
                body = signed.event_of(event).body
                if isinstance(body, events.Founded | events.RolesChanged):
                    replay.apply(event)
            position += len(entries)
        if replay.state.registry is None:
            raise MalformedEventError("the log does not begin with an event that founds a registry")
        return replay.state.registry.roles

    def names(self) -> Mapping[str, str]:
        return {}

    def submit(self, signed: SignedEvent) -> int:
        return self._source.submit(signed)

    def models(self, after: str) -> list[Row]:
        return _rows(self._asked(f"models?limit={_PAGE}&after={_quoted(after)}"), "models")

    def versions(self, model: str) -> list[Row]:
        said = self._asked(f"models/{_quoted(model)}?limit={_PAGE}")
        return _rows(said, "versions") if said else []

    def version(self, model: str, version: str) -> Row | None:
        return self._asked(f"models/{_quoted(model)}/{_quoted(version)}")

    def recalls(self) -> list[Row]:
        return _rows(self._asked(f"recalls?limit={_PAGE}"), "recalls")

    def _asked(self, path: str) -> Row | None:
        """What the service answers, an object; None where it has nothing of that name."""
        if self.url.startswith("file:"):
            cause = "a mirror has no lists; 'registry log' and 'registry verify' read it"
            raise RegistryError(cause, remedy="Ask the service or the database.")
        import json

        data = self._read(f"v1/{path}", LIMITS.registry_answer)
        if data is None:
            return None
        try:
            found = json.loads(data)
        except (ValueError, RecursionError):
            found = None
        if not isinstance(found, dict):
            raise MalformedEventError("what the registry answered is no JSON object")
        return found

    def _read(self, path: str, limit: int) -> bytes | None:
        read: Callable[[str, int], bytes | None] = self._source.read  # type: ignore[attr-defined]
        return read(path, limit)


def _rows(said: Row | None, name: str) -> list[Row]:
    found = said.get(name) if said else None
    if not isinstance(found, list) or not all(isinstance(one, dict) for one in found):
        raise MalformedEventError("what the registry answered is no list")
    return found


def _quoted(name: str) -> str:
    from urllib.parse import quote

    return quote(name, safe="")


def length(text: str, option: str) -> timedelta:
    """The length of time that an option says; raises BadParameter."""
    from keras_integrity_hook.settings.value_types import Duration

    try:
        return Duration().from_toml(text, "")
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint=option) from None


@contextmanager
def failures(command: str, *, as_json: bool) -> Iterator[None]:
    """End ``command`` where something in it is refused."""
    try:
        yield
    except IntegrityError as error:
        output.failed(f"registry {command}", error, as_json=as_json)
