# SPDX-License-Identifier: Apache-2.0
"""Events as commands make them: signed, and put into the registry or into a file."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

import click

from keras_integrity_hook import settings
from keras_integrity_hook.cli import output
from keras_integrity_hook.cli import registry_places as places
from keras_integrity_hook.cli.output import json_option
from keras_integrity_hook.cli.registry_places import Place, service_key_option, url_option
from keras_integrity_hook.cli.signing import NO_KEY_REMEDY, prompt
from keras_integrity_hook.errors import (
    EventRefusedError,
    MalformedEventError,
    RegistryError,
    SigningError,
)
from keras_integrity_hook.files import atomic, reading
from keras_integrity_hook.files.portable import system
from keras_integrity_hook.limits import LIMITS

if TYPE_CHECKING:
    from keras_integrity_hook.registry.events import Body, Event
    from keras_integrity_hook.registry.signed import SignedEvent
else:  # for those who look annotations up at run time
    Body = Event = SignedEvent = object

_Command = TypeVar("_Command", bound=Callable[..., None])
_MORE = (
    "Where one signature is not enough: --out FILE instead, then 'keras-integrity registry sign "
    "FILE' by the others, and 'keras-integrity registry submit FILE'."
)
keys_option = click.option(
    "--key",
    "keys",
    metavar="KEY",
    multiple=True,
    help="Of an actor: a path, env:NAME or signer URI; several sign together. Else the setting.",
)
out_option = click.option(
    "--out",
    metavar="FILE",
    type=click.Path(),
    help="Write the signed event there, for others to sign, and tell the registry nothing.",
)


class Given(NamedTuple):
    """What the options say of whom an event is from, and where it goes.

    Attributes:
        keys: references to the keys that sign it.
        out: the file that it goes to, None for the registry.
    """

    url: str | None
    keys: tuple[str, ...]
    service_key: str | None
    out: str | None
    as_json: bool

    def references(self) -> tuple[str, ...]:
        """The keys, given or configured; raises SigningError where there is none."""
        configured = settings.at().key
        found = self.keys or (() if configured is None else (configured,))
        if not found:
            raise SigningError("no key is given or configured", remedy=NO_KEY_REMEDY)
        return found


class Delivered(NamedTuple):
    """What became of an event.

    Attributes:
        position: in the log; None where it is in a file.
    """

    event: str
    position: int | None
    signed: SignedEvent


def event_options(command: _Command) -> _Command:
    """The options of a command that makes an event, as :class:`Given` has them."""
    for option in (json_option, out_option, service_key_option, keys_option, url_option):
        command = option(command)
    return command


def deliver(body: Body, given: Given, place: Place) -> Delivered:
    """Sign an event for the registry at ``place``, and put it there or into a file."""
    from keras_integrity_hook.registry import signed

    event = signed.new_event(body, places.expected_id(place))
    made = signed_by(signed.SignedEvent(signed.payload_of(event)), given.references())
    if given.out is not None:
        write_new(given.out, made)
        return Delivered(made.id, None, made)
    return Delivered(made.id, submitted(place, made), made)


def submitted(place: Place, made: SignedEvent) -> int:
    """The position of an event that is now in the log; raises EventRefusedError."""
    try:
        return place.submit(made)
    except EventRefusedError as error:
        if error.rule != "threshold":
            raise
        raise EventRefusedError(error.cause, rule=error.rule, remedy=_MORE) from None


def signed_by(made: SignedEvent, references: tuple[str, ...]) -> SignedEvent:
    """``made`` with more signatures; raises SigningError."""
    from keras_integrity_hook.registry import signed

    ask = prompt()
    new = tuple(signed.sign(made.payload, reference, ask) for reference in references)
    there = {one.keyid for one in made.signatures}
    return made._replace(
        signatures=(*made.signatures, *(one for one in new if one.keyid not in there))
    )


def told(
    command: str, done: Delivered, given: Given, what: str, facts: list[tuple[str, Any]]
) -> None:
    """Print what became of an event.

    Args:
        what: a word for it, and what it is about.
    """
    if given.as_json:
        fields = {"event": done.event, "position": done.position, "file": given.out}
        output.emit(f"registry {command}", ok=True, **fields, **dict(facts))
        return
    word, _, about = what.partition(" ")
    if done.position is None:
        output.state("written", given.out or "")
        output.facts(
            [("event", f"{word} {about}"), *facts, ("signatures", len(done.signed.signatures))]
        )
        output.detail(f"Not in the registry yet: 'keras-integrity registry submit {given.out}'.")
        return
    output.state(word, about)
    output.facts([*facts, ("event", done.event), ("position", done.position)])


def description(made: SignedEvent) -> list[tuple[str, object]]:
    """What an event says, for people."""
    from keras_integrity_hook.registry import signed, spelling

    event = signed.event_of(made)
    facts: list[tuple[str, object]] = [("type", spelling.KINDS[type(event.body)])]
    facts += [(name, value) for name, value in _flat(event.body) if value not in ("", False)]
    keyids = ", ".join(f"{one.keyid[:12]}…" for one in made.signatures) or "nobody"
    return [
        *facts,
        ("time", event.time),
        ("registry", event.registry or "a new one"),
        ("signed by", keyids),
    ]


def _flat(value: Any, prefix: str = "") -> list[tuple[str, object]]:
    """The fields of an event with those of its parts, without keys' PEM texts."""
    if hasattr(value, "_asdict"):
        value = value._asdict()
    if isinstance(value, dict):
        return [
            pair
            for name, one in value.items()
            if name != "public"
            for pair in _flat(one, f"{prefix} {name}".strip())
        ]
    if isinstance(value, tuple) and value and hasattr(value[0], "_asdict"):
        return [pair for one in value for pair in _flat(one._asdict(), f"{prefix} {one[0]}")]
    if isinstance(value, tuple):
        return [(prefix, ", ".join(map(str, value)))]
    return [(prefix, value)]


def read(path: str) -> SignedEvent:
    """The signed event in a file; raises MalformedEventError, UnreadableFileError."""
    from keras_integrity_hook.registry import signed

    try:
        return signed.decode(reading.read_file(path, LIMITS.registry_event))
    except MalformedEventError as error:
        error.path = path
        raise


def write_new(path: str, made: SignedEvent) -> None:
    """Write a signed event to a file that there is not; raises RegistryError."""
    from keras_integrity_hook.registry import signed

    data = signed.encode(made)
    try:
        with open(system.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644), "wb") as file:
            file.write(data)
    except FileExistsError:
        remedy = "Give another name; nothing was written."
        raise RegistryError("the file exists already", path=path, remedy=remedy) from None
    except OSError as error:
        raise _unwritable(path, error) from None


def replace(path: str, made: SignedEvent) -> None:
    """Put a signed event in the place of the one in a file; raises RegistryError."""
    from keras_integrity_hook.registry import signed

    data = signed.encode(made)
    try:
        with atomic.open_target(path) as target, atomic.private_file(target) as private:
            with open(private.create(0o644), "wb") as file:
                file.write(data)
            private.put_in_place()
    except OSError as error:
        raise _unwritable(path, error) from None


def _unwritable(path: str, error: OSError) -> RegistryError:
    cause = f"cannot be written ({error.strerror or error})"
    return RegistryError(cause, path=path, remedy="Check the directory and its permissions.")
