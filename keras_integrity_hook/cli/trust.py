# SPDX-License-Identifier: Apache-2.0
"""``trust`` and ``revoke``: whom this user, or with ``--machine`` this machine, trusts."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING, Any

import click

from keras_integrity_hook.cli import output
from keras_integrity_hook.cli.distribution import (
    publish,
    pull,
    show_subscriptions,
    spelled_subscriptions,
)
from keras_integrity_hook.cli.group import Group
from keras_integrity_hook.cli.output import json_option
from keras_integrity_hook.errors import (
    ConfigurationError,
    IntegrityError,
    SigningError,
    printable,
)
from keras_integrity_hook.fleet import recall
from keras_integrity_hook.saving.provenance import checked_line, checked_reason
from keras_integrity_hook.sealing.tree import ALGORITHMS, HEX
from keras_integrity_hook.signing import keys, newcomers
from keras_integrity_hook.signing import trust_edit as edit
from keras_integrity_hook.signing import trust_store as store
from keras_integrity_hook.signing.trust_file import (
    Trusted,
    TrustedKey,
    TrustedRoot,
    last_moment,
    moment,
    state_at,
)

if TYPE_CHECKING:
    from keras_integrity_hook.distribution.subscriptions import Subscription
else:  # for those who look annotations up at run time
    Subscription = object

_Row = tuple[Trusted, str]

_LIST = "'keras-integrity trust list' shows what is trusted."
_ROOT_REMEDY = (
    "Copy it from 'keras-integrity inspect' or from a report; it has 64 or 128 hex digits."
)
_SHOWN = ("keyid", "scheme", "identity", "issuer", "trusted_root")


def _file_options(command: Callable[..., None]) -> Callable[..., None]:
    to_file = click.option("--file", "file", type=click.Path(), help="Change this trust file.")
    to_machine = click.option(
        "--machine", is_flag=True, help=f"Change {store.MACHINE} (needs root), not the user's file."
    )
    return to_machine(to_file(command))


@click.group(cls=Group)
def trust() -> None:
    """Show or change whose signatures count."""


@trust.command()
@click.argument("name")
@click.argument("public")
@click.option("--scheme", type=click.Choice(keys.SCHEMES), help="For keys that have several.")
@click.option(
    "--identity",
    metavar="TEXT",
    help="Of those whom certificates or sigstore vouch for, only this one.",
)
@click.option("--issuer", metavar="URL", help="Who has to have told sigstore the identity.")
@click.option(
    "--not-before",
    metavar="DATE",
    help="Signatures count from then on (a day: from its 00:00 UTC).",
)
@click.option(
    "--not-after",
    metavar="DATE",
    help="Signatures count until then (a day: to its end, in UTC).",
)
@click.option("--comment", default="", help="A note for people.")
@click.option(
    "--vetter", is_flag=True, help="Trust what it says of models that it tried; not its signatures."
)
@_file_options
@json_option
def add(  # noqa: PLR0913, PLR0917 - one argument for each option
    name: str,
    public: str,
    scheme: str | None,
    identity: str | None,
    issuer: str | None,
    not_before: str | None,
    not_after: str | None,
    comment: str,
    vetter: bool,
    file: str | None,
    machine: bool,
    as_json: bool,
) -> None:
    """Trust a key, certificates, or an identity of sigstore's, by a name of your choice.

    PUBLIC is a public key's file (PEM), or the signer URI of a key in hardware or in a cloud,
    which is asked for its public half; or a file of root certificates (PEM); or, with --identity
    and --issuer, the trusted_root.json of an instance of sigstore. Get it, or the key id, in a way
    that nobody could have interfered with.
    """
    with _failures("trust add", as_json):
        path = _path(file, machine)
        told = newcomers.Told(
            checked_line("name", name),
            scheme,
            identity and checked_line("identity", identity),
            issuer and checked_line("issuer", issuer),
            _date("--not-before", not_before, moment),
            _date("--not-after", not_after, last_moment),
            comment and checked_line("comment", comment),
            vetter,
        )
        trusted = newcomers.read(public, told)
        _refuse_taken(trusted, path)
        _add(trusted, path, vetter=vetter)
    if as_json:
        spelled = _spelled(trusted._replace(source=path))
        field = "key" if isinstance(trusted, TrustedKey) else "other"
        output.emit("trust add", ok=True, file=path, **{field: spelled}, vetter=vetter)
        return
    output.state("trusted", name)
    facts = [(_called(f), v) for f, v in _spelled(trusted).items() if v and f in _SHOWN]
    output.facts([*facts, ("in", path), *([("counts", "as a vetter")] if vetter else [])])


def _subscriptions() -> list[Subscription]:
    from keras_integrity_hook.distribution import subscriptions

    return subscriptions.present()


def _add(trusted: Trusted, path: str, *, vetter: bool) -> None:
    if isinstance(trusted, TrustedKey):
        edit.add_key(path, trusted, vetter=vetter)
    elif isinstance(trusted, TrustedRoot):
        edit.add_certificates(path, trusted)
    else:
        edit.add_identity(path, trusted)


@trust.command("list")
@json_option
def list_(as_json: bool) -> None:
    """Show who is trusted, what is revoked, and from whom that is pulled.

    The trust files of the machine, the user and the project are taken together.
    """
    with _failures("trust list", as_json):
        found, pulled = store.store(), _subscriptions()
        rows: list[_Row] = [(key, _state(found, key)) for key in found.keys]
        others: list[_Row] = [(root, _period(root)) for root in found.certificates]
        others += [(identity, _period(identity)) for identity in found.identities]
        vetters: list[_Row] = [(key, _state(found, key)) for key in found.vetters]
    recalled = [*found.revoked_keys.values(), *found.revoked_models.values()]
    if as_json:
        output.emit(
            "trust list",
            ok=True,
            keys=[{**_spelled(key), "state": state} for key, state in rows],
            others=[{**_spelled(one), "state": state} for one, state in others],
            vetters=[{**_spelled(one), "state": state} for one, state in vetters],
            revoked_keys=[_spelled(one) for one in found.revoked_keys.values()],
            revoked_models=[_spelled(one) for one in found.revoked_models.values()],
            pulled=spelled_subscriptions(pulled),
        )
        return
    for one, state in (*rows, *others, *vetters):
        output.state(state, one.name, good=state == "valid")
        hidden = ("name", "public", "pem")
        told = [(_called(f), v) for f, v in _spelled(one).items() if v and f not in hidden]
        is_vetter = any(one is key for key, _ in vetters)
        output.facts([*told, ("counts", "as a vetter")] if is_vetter else told)
    for gone in recalled:
        output.state("revoked", gone.target, good=False)
        spelled = _spelled(gone)
        kind = "key" if gone.target in found.revoked_keys else "model"
        told = [("kind", kind), ("reason", gone.reason or "none given")]
        told += [(name, spelled[name]) for name in ("since", "source") if spelled[name]]
        output.facts(told)
    show_subscriptions(pulled)
    if not (rows or others or vetters or recalled):
        click.echo("No key is trusted; 'keras-integrity trust add NAME PUBLIC' adds one.")


@trust.command()
@click.argument("name")
@_file_options
@json_option
def remove(name: str, file: str | None, machine: bool, as_json: bool) -> None:
    """Trust no longer what has this name, or the key with this id.

    A key that was stolen is better revoked: that holds in whatever file it is trusted.
    """
    with _failures("trust remove", as_json):
        path = _path(file, machine)
        removed = edit.remove(path, name)
    if as_json:
        field = "key" if isinstance(removed, TrustedKey) else "other"
        output.emit("trust remove", ok=True, file=path, **{field: _spelled(removed)})
        return
    output.state("removed", removed.name)
    told = [("key id", removed.keyid)] if isinstance(removed, TrustedKey) else []
    output.facts([*told, ("from", path)])


trust.add_command(pull)
trust.add_command(publish)


@click.group(cls=Group)
def revoke() -> None:
    """Let keys or models count for nothing any more."""


@revoke.command("key")
@click.argument("key", metavar="KEYID|NAME")
@click.option("--reason", required=True, help="Why; shown where it matters.")
@_file_options
@json_option
def revoke_key(key: str, reason: str, file: str | None, machine: bool, as_json: bool) -> None:
    """Let a key count for nothing.

    None of its signatures is good any more, whenever it claims to have been made.
    """
    with _failures("revoke key", as_json):
        path = _path(file, machine)
        checked_reason(reason)
        keyid = key if HEX.fullmatch(key) else _key_named(key, path)
        fresh = edit.revoke_key(path, keyid, reason)
    _report_revoked("revoke key", [keyid], path, fresh=fresh, as_json=as_json)


@revoke.command("model")
@click.argument("model", metavar="PATH|ROOT", required=False)
@click.option("--root", metavar="ROOT", help="Recall this root digest, whatever files there are.")
@click.option(
    "--content",
    is_flag=True,
    help="Recall what PATH holds now, under every digest, whatever its seal says.",
)
@click.option("--reason", required=True, help="Why; shown to whoever loads the model.")
@_file_options
@json_option
def revoke_model(  # noqa: PLR0913, PLR0917 - one argument for each option
    model: str | None,
    root: str | None,
    content: bool,
    reason: str,
    file: str | None,
    machine: bool,
    as_json: bool,
) -> None:
    """Recall one model, by its root digest.

    It is refused from now on, whoever signed it. The root of a file is computed from its content,
    which has to match its seal: what a seal merely says may be another model's.
    """
    if (model is None) is (root is None):
        raise click.UsageError("give either PATH or a root")
    if content and model is None:
        raise click.UsageError("--content is for a PATH")
    with _failures("revoke model", as_json):
        path = _path(file, machine)
        checked_reason(reason)
        roots = _roots_to_recall(model, root, content=content)
        fresh = [edit.revoke_model(path, one, reason) for one in roots]
    _report_revoked("revoke model", roots, path, fresh=any(fresh), as_json=as_json)


def _roots_to_recall(model: str | None, root: str | None, *, content: bool) -> list[str]:
    stated = root or model or ""
    algorithm, _, digits = stated.rpartition(":")  # as reports show a root
    is_root = algorithm in ("", *ALGORITHMS) and HEX.fullmatch(digits)
    if root is not None and not is_root:
        raise ConfigurationError(f"'{printable(root)}' is no root digest", remedy=_ROOT_REMEDY)
    if content:
        return recall.roots_of_content(stated)
    if not is_root:
        return [recall.verified_root(stated)]
    if root is None and os.path.lexists(stated):
        cause = f"'{printable(stated)}' is a file's name and a root digest"
        raise ConfigurationError(cause, remedy="Write ./NAME for the file, or --root ROOT.")
    return [digits]


def _report_revoked(
    command: str, targets: list[str], path: str, *, fresh: bool, as_json: bool
) -> None:
    if as_json:
        target = targets[0]
        output.emit(command, ok=True, file=path, target=target, targets=targets, changed=fresh)
        return
    for target in targets:
        output.state("revoked", target)
    output.detail(f"in {path}" if fresh else f"It was so already, by {path}.")


@contextmanager
def _failures(command: str, as_json: bool) -> Iterator[None]:
    try:
        yield
    except ConfigurationError as error:
        output.misconfigured(command, error, as_json=as_json)
    except IntegrityError as error:
        output.failed(command, error, as_json=as_json)


def _path(file: str | None, machine: bool) -> str:
    if file and machine:
        raise click.UsageError("--file and --machine exclude each other")
    return store.MACHINE if machine else os.path.abspath(file) if file else store.user_file()


def _refuse_taken(one: Trusted, path: str) -> None:
    """Not written, a name that stands for another in another file: nothing could be loaded then."""
    known = store.store(making=path)
    everybody: list[Trusted] = [*known.keys, *known.vetters]
    everybody += [*known.certificates, *known.identities]
    for other in everybody:
        if other.name == one.name and store.who(other) != store.who(one):
            cause = f"there is one named '{one.name}' already"
            raise SigningError(cause, path=other.source, remedy=_LIST)


def _date(option: str, text: str | None, understood: Callable[[date], datetime]) -> datetime | None:
    if text is None:
        return None
    try:
        is_day = len(text) == len("2027-01-31")
        return understood(date.fromisoformat(text) if is_day else datetime.fromisoformat(text))
    except ValueError:
        cause = f"{option} is no date, or lacks its time zone"
        remedy = "Write it as 2027-01-31 or 2027-01-31T12:00:00Z; nothing was written."
        raise ConfigurationError(cause, remedy=remedy) from None


def _key_named(name: str, path: str) -> str:
    trusted = store.store(making=path)
    vetters = {key.keyid for key in trusted.vetters if name in (key.name, key.keyid)}
    found = vetters | {key.keyid for key in trusted.named(name)}
    if len(found) != 1:
        remedy = f"{_LIST} A key that is in none of its files is revoked by its id."
        raise SigningError(f"no trusted key is named '{name}'", remedy=remedy)
    return found.pop()


def _state(found: store.TrustStore, key: TrustedKey) -> str:
    store.checked(key)
    return "revoked" if found.revocation_of(key) is not None else _period(key)


def _period(one: Trusted) -> str:
    return state_at(one, datetime.now(UTC))


def _called(field: str) -> str:
    """What people call a field."""
    return "key id" if field == "keyid" else field.replace("_", " ")


def _spelled(entry: Any) -> dict[str, Any]:
    """The fields of a key or a revocation, JSON-able; moments to the second."""
    values = entry._asdict().items()
    return {
        name: value.isoformat(timespec="seconds") if isinstance(value, datetime) else value
        for name, value in values
    }
