# SPDX-License-Identifier: Apache-2.0
"""``registry roles``: who may do what in a registry, and roles as a person writes them."""

from __future__ import annotations

import os
from collections.abc import Mapping
from datetime import date
from typing import TYPE_CHECKING, Any

import click

from keras_integrity_hook.cli import output
from keras_integrity_hook.cli import registry_places as places
from keras_integrity_hook.cli import registry_signing as signing
from keras_integrity_hook.cli.registry_signing import Given, event_options
from keras_integrity_hook.errors import ConfigurationError, MalformedEventError
from keras_integrity_hook.files import reading
from keras_integrity_hook.limits import LIMITS

if TYPE_CHECKING:
    from keras_integrity_hook.registry.events import Role, Roles
else:  # for those who look annotations up at run time
    Role = Roles = object

_TASKS = ("administer", "register", "recall", "restore")
_REMEDY = "'keras-integrity registry roles --json' prints roles in the form that is read."


@click.command()
@click.option(
    "--set",
    "file",
    metavar="FILE",
    type=click.Path(),
    help="Let these be the roles from now on: TOML, or JSON as --json prints it.",
)
@event_options
def roles(  # noqa: PLR0913, PLR0917 - one argument for each option
    file: str | None,
    url: str | None,
    keys: tuple[str, ...],
    service_key: str | None,
    out: str | None,
    as_json: bool,
) -> None:
    """Show who may do what, or change it.

    A change is signed by as many administrators as there have to be before it.
    """
    from keras_integrity_hook.registry.events import RolesChanged

    given = Given(url, keys, service_key, out, as_json)
    with places.failures("roles", as_json=as_json), places.opened(url, service_key) as place:
        if file is None:
            _show(place.roles(), as_json=as_json)
            return
        done = signing.deliver(RolesChanged(read(file)), given, place)
        signing.told("roles", done, given, "changed the roles", [("from", file)])


def read(path: str) -> Roles:
    """The roles that a file says: TOML or JSON, with the fields of ``events.Roles``.

    A public key is a PEM text or the path of a file, which is relative to this one; its id and
    scheme follow from it. A threshold is 1 where none is said.

    Raises:
        ConfigurationError: it says none.
        SigningError, UnreadableFileError: a key cannot be read.
    """
    data = reading.read_file(path, LIMITS.registry_event)
    try:
        value = _loaded(data, path)
        return _roles(value, os.path.dirname(path))
    except MalformedEventError as error:
        raise ConfigurationError(error.cause, path=path, remedy=_REMEDY) from None
    except (KeyError, TypeError, AttributeError) as error:
        cause = f"these are no roles ({type(error).__name__}: {error})"
        raise ConfigurationError(cause, path=path, remedy=_REMEDY) from None


def _loaded(data: bytes, path: str) -> Mapping[str, Any]:
    if data.lstrip().startswith(b"{"):
        import json

        try:
            found = json.loads(data)
        except (ValueError, RecursionError) as error:
            raise ConfigurationError(f"is no JSON ({error})", path=path) from None
        value: Mapping[str, Any] = found.get("roles", found)
        return value
    from keras_integrity_hook.settings import toml_file

    return toml_file.loads(data, path)[1]


def _roles(value: Mapping[str, Any], base: str) -> Roles:
    from keras_integrity_hook.registry import spelling

    known = {"actors", "services", "stages", *_TASKS}
    unknown = sorted(set(value) - known)
    if unknown:
        raise ConfigurationError(f"there is no '{unknown[0]}' in roles", remedy=_REMEDY)
    return spelling.roles(
        {
            "actors": [_actor(one, base) for one in value["actors"]],
            "services": [_service(one, base) for one in value.get("services", [])],
            **{task: _role(value[task]) for task in _TASKS},
            "stages": {name: _role(one) for name, one in value.get("stages", {}).items()},
        }
    )


def _role(value: Mapping[str, Any]) -> dict[str, Any]:
    return {"threshold": 1, **value}


def _actor(value: Mapping[str, Any], base: str) -> dict[str, Any]:
    return {**value, **_key(value, base)}


def _service(value: Mapping[str, Any], base: str) -> dict[str, Any]:
    key = _key(value, base)
    return {
        **value,
        "public": key["public"],
        "keyid": key["keyid"],
        "expires": _moment(value["expires"]),
    }


def _key(value: Mapping[str, Any], base: str) -> dict[str, str]:
    from keras_integrity_hook.signing import keys

    public, scheme = str(value["public"]), value.get("scheme")
    if public.startswith("-----BEGIN"):
        key = keys.public_key(public.encode(), scheme)
    else:
        key = keys.read_public(os.path.join(base, public), scheme)
    return {"public": key.pem, "keyid": key.keyid, "scheme": key.scheme}


def _moment(value: Any) -> Any:
    """A date, of TOML or as JSON has to spell one, as events do; whatever else is judged where
    events are read."""
    from keras_integrity_hook.sealing.statement import spelled
    from keras_integrity_hook.signing.trust_file import last_moment

    try:
        if isinstance(value, str) and len(value) == len("2027-01-31"):
            value = date.fromisoformat(value)
        return spelled(last_moment(value)) if isinstance(value, date) else value
    except ValueError as error:
        raise ConfigurationError(f"'expires' {error}") from None


def _show(found: Roles, *, as_json: bool) -> None:
    from keras_integrity_hook.registry import spelling

    if as_json:
        output.emit("registry roles", ok=True, roles=spelling.plain(found))
        return
    for actor in found.actors:
        output.state("actor", actor.name)
        output.facts([("key id", actor.keyid), ("scheme", actor.scheme)])
    for service in found.services:
        output.state("service", service.name)
        output.facts([("key id", service.keyid), ("expires", service.expires)])
    rows = [(task, getattr(found, task)) for task in _TASKS]
    rows += [(f"stage {name}", role) for name, role in found.stages.items()]
    output.state("roles", "who may do what")
    output.facts([(task, _told(role)) for task, role in rows])


def _told(role: Role) -> str:
    names = ", ".join(role.actors)
    return names if role.threshold == 1 else f"{role.threshold} of {names}"
