# SPDX-License-Identifier: Apache-2.0
"""Whose word an event is, and whether that is enough.

A threshold counts distinct actors, and no two actors have the same key. A key that was recalled
signs nothing, with one exception: a change of roles. Otherwise whoever may recall could lock out
the administrators, who alone can take that right from him.
"""

from __future__ import annotations

from collections.abc import Container, Iterator
from typing import assert_never

from keras_integrity_hook.errors import EventRefusedError, SigningError, printable
from keras_integrity_hook.registry.events import (
    Actor,
    Body,
    Founded,
    Promoted,
    Recalled,
    Registered,
    Restored,
    Role,
    Roles,
    RolesChanged,
    Withdrawn,
)
from keras_integrity_hook.registry.signed import SignedEvent, signers
from keras_integrity_hook.signing import keys


def role_for(body: Body, roles: Roles) -> tuple[str, Role]:
    """What the event is called for people, and who may sign it.

    Raises:
        EventRefusedError: of the rule ``unknown-stage``.
    """
    if isinstance(body, Founded | RolesChanged):
        return "administer", roles.administer
    if isinstance(body, Registered):
        return "register", roles.register
    if isinstance(body, Promoted | Withdrawn):
        role = roles.stages.get(body.stage)
        if role is None:
            known = ", ".join(roles.stages) or "none"
            cause = (
                f"there is no stage '{printable(body.stage)}' in this registry; there are {known}"
            )
            raise EventRefusedError(cause, rule="unknown-stage")
        word = "promote to" if isinstance(body, Promoted) else "withdraw from"
        return f"{word} '{printable(body.stage)}'", role
    if isinstance(body, Recalled):
        return "recall", roles.recall
    if isinstance(body, Restored):
        return "restore", roles.restore
    assert_never(body)  # a type that nobody was given is nobody's to sign


def authors(
    signed: SignedEvent, body: Body, roles: Roles, recalled: Container[str]
) -> tuple[str, ...]:
    """The names of the actors whose word the event is, who are enough.

    Args:
        recalled: the ids of keys that were recalled.

    Raises:
        EventRefusedError: of the rule ``signature`` (one of its signatures is not a good one by an
            actor, or one of two by the same), ``recalled-key``, ``not-allowed`` (none of the
            signers may do it) or ``threshold`` (some may, and they are too few).
    """
    task, role = role_for(body, roles)
    found = signers(signed, roles)
    # What is kept for ever has no place for what somebody else put there.
    if len(found) != len(signed.signatures):
        cause = "not every signature on the event is a good one by an actor of this registry, once"
        raise EventRefusedError(cause, rule="signature")
    gone = [actor for actor in found if actor.keyid in recalled]
    if gone and not isinstance(body, RolesChanged):
        cause = f"the key of {printable(gone[0].name)}, who signed the event, was recalled"
        raise EventRefusedError(cause, rule="recalled-key")
    counted = tuple(actor.name for actor in found if actor.name in role.actors)
    if len(counted) < max(role.threshold, 1):
        raise _too_few(task, role, found, counted)
    return counted


def check(roles: Roles) -> None:
    """Whether ``roles`` can be in force.

    Raises:
        EventRefusedError: of the rule ``roles``; a name or a key is there twice, a key id is not of
            its key, a role names nobody or a stranger, or asks for more actors than it has.
    """
    for trouble in _troubles(roles):
        raise EventRefusedError(f"these roles cannot be in force: {trouble}", rule="roles")


def _too_few(
    task: str, role: Role, found: tuple[Actor, ...], counted: tuple[str, ...]
) -> EventRefusedError:
    able = ", ".join(map(printable, role.actors))
    if not counted:
        who = ", ".join(printable(actor.name) for actor in found) or "nobody"
        cause = f"signed by {who}, who may not {task}; those who may: {able}"
        return EventRefusedError(cause, rule="not-allowed")
    who = ", ".join(map(printable, counted))
    cause = f"to {task} takes {role.threshold} of {able}; signed by {who}"
    return EventRefusedError(
        cause,
        rule="threshold",
        remedy="Let another of them add a signature: 'keras-integrity registry sign FILE'.",
    )


def _troubles(roles: Roles) -> Iterator[str]:
    names = [actor.name for actor in roles.actors]
    if len(set(names)) < len(names):
        yield "two actors have the same name"
    if len({service.name for service in roles.services}) < len(roles.services):
        yield "two services have the same name"
    yield from _key_troubles(roles)
    fixed = {
        "administer": roles.administer,
        "register": roles.register,
        "recall": roles.recall,
        "restore": roles.restore,
    }
    for task, role in (*fixed.items(), *roles.stages.items()):
        yield from _role_troubles(printable(task), role, names)


def _role_troubles(task: str, role: Role, names: list[str]) -> Iterator[str]:
    strangers = [name for name in role.actors if name not in names]
    if strangers:
        yield f"'{task}' names {printable(strangers[0])}, who is no actor"
    if len(set(role.actors)) < len(role.actors):
        yield f"'{task}' names an actor twice"
    if not 1 <= role.threshold <= len(role.actors):
        yield f"'{task}' asks for {role.threshold} of {len(role.actors)} actors"


def _key_troubles(roles: Roles) -> Iterator[str]:
    holders = [(one.name, one.public, one.scheme, one.keyid) for one in roles.actors]
    holders += [(one.name, one.public, keys.ED25519, one.keyid) for one in roles.services]
    seen = set()
    if not roles.services:
        yield "there is no service, whose key signs the checkpoints"
    for name, public, scheme, keyid in holders:
        try:
            key = keys.public_key(public.encode(), scheme)
        except SigningError as error:
            yield f"the key of {printable(name)} cannot be used ({error.cause})"
            return
        if key.keyid != keyid or key.pem != public:
            yield f"the key of {printable(name)} has another id, or is not spelt as a key's .pub is"
        if key.pem in seen:
            yield f"the key of {printable(name)} is another's, too"
        seen.add(key.pem)
