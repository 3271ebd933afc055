# SPDX-License-Identifier: Apache-2.0
"""``trust pull`` and ``trust publish``: trust files and policies for many machines."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import click

from keras_integrity_hook.cli import output
from keras_integrity_hook.cli.output import json_option
from keras_integrity_hook.cli.signing import prompt
from keras_integrity_hook.errors import ConfigurationError, IntegrityError
from keras_integrity_hook.files import owned
from keras_integrity_hook.limits import LIMITS
from keras_integrity_hook.sealing.statement import spelled
from keras_integrity_hook.signing import keys, signers

if TYPE_CHECKING:
    from keras_integrity_hook.distribution.publishing import Published
    from keras_integrity_hook.distribution.pulling import Pulled
    from keras_integrity_hook.distribution.subscriptions import Source, Subscription
else:  # for those who look annotations up at run time
    Published = Pulled = Source = Subscription = object

_ROLES = ("root", "targets", "snapshot", "timestamp")
_MOST = 3650  # days, or keys
_SEVERAL = {"online": ("snapshot", "timestamp"), "all": _ROLES}


@click.command()
@click.argument("url", required=False)
@click.option("--root", type=click.Path(), help="The publisher's initial root, 1.root.json.")
@click.option("--machine", is_flag=True, help="For the whole machine (needs root), not this user.")
@click.option("--replace-root", is_flag=True, help="Even if another publisher was believed so far.")
@click.option(
    "--replace-policy",
    is_flag=True,
    help="Even if there is a policy that was not pulled; it is kept beside.",
)
@json_option
def pull(  # noqa: PLR0913, PLR0917 - one argument for each option
    url: str | None,
    root: str | None,
    machine: bool,
    replace_root: bool,
    replace_policy: bool,
    as_json: bool,
) -> None:
    """Bring in what a publisher of trust files says now.

    The first time with URL and --root, from then on without: a timer can do it. Get the initial
    root in a way that nobody could have interfered with; all else is signed. Keys and revocations
    count beside those that are edited here; a published policy becomes the policy.
    """
    if (url is None) is not (root is None):
        raise click.UsageError("URL and --root go together")
    with _failures("trust pull", as_json):
        from keras_integrity_hook.distribution import places, pulling

        place = places.of_machine() if machine else places.of_user()
        source = None if url is None else _source(url, root or "")
        pulled = pulling.pull(
            place, source, replace_root=replace_root, replace_policy=replace_policy
        )
    if as_json:
        files = [{"path": path, "changed": changed} for path, changed in pulled.files.items()]
        versions, expires = dict(pulled.versions), spelled(pulled.expires)
        output.emit(
            "trust pull", ok=True, url=pulled.url, versions=versions, expires=expires, files=files
        )
        return
    _show_pulled(pulled)


@click.command()
@click.argument("directory", type=click.Path())
@click.option("--trust", type=click.Path(), help="The trust file that machines are to have.")
@click.option("--policy", type=click.Path(), help="The policy that machines are to have.")
@click.option(
    "--sigstore", type=click.Path(), help="The trusted_root.json of an instance of sigstore."
)
@click.option(
    "--key", "references", multiple=True, metavar="KEY", help="Sign with it; as in 'sign --key'."
)
@click.option(
    "--admit",
    multiple=True,
    metavar="ROLE=PUBLIC",
    help="A key that may sign for a role: root, targets, snapshot, timestamp, online, all.",
)
@click.option(
    "--dismiss", multiple=True, metavar="ROLE=KEYID", help="A key that may no longer do so."
)
@click.option(
    "--threshold", multiple=True, metavar="ROLE=N", help="How many keys of a role sign together."
)
@click.option(
    "--days", multiple=True, metavar="ROLE=N", help="For how long a role's word is good from now."
)
@json_option
def publish(  # noqa: PLR0913, PLR0917 - one argument for each option
    directory: str,
    trust: str | None,
    policy: str | None,
    sigstore: str | None,
    references: tuple[str, ...],
    admit: tuple[str, ...],
    dismiss: tuple[str, ...],
    threshold: tuple[str, ...],
    days: tuple[str, ...],
    as_json: bool,
) -> None:
    """Make or renew a repository (TUF) that machines pull trust files and a policy from.

    DIRECTORY is served by any web server as it is. In a new one the keys sign for every role,
    unless --admit says who signs for what. Run it again to change files, to renew what expires
    soon, and to change keys: machines follow, with the root that they have.
    """
    with _failures("trust publish", as_json):
        from keras_integrity_hook.distribution import publishing, targets

        given = {targets.TRUST: trust, targets.POLICY: policy, targets.SIGSTORE: sigstore}
        files = {
            name: owned.read_named(path, targets.LENGTHS[name])
            for name, path in given.items()
            if path is not None
        }
        change = publishing.Change(
            [(role, _public(text)) for role, text in _by_role("--admit", admit)],
            list(_by_role("--dismiss", dismiss)),
            dict(_numbers("--threshold", threshold)),
        )
        kept = {**publishing.DAYS, **dict(_numbers("--days", days))}
        done = publishing.publish(directory, files, references, change, days=kept, ask=prompt())
    if as_json:
        _emit_published(directory, done)
    else:
        _show_published(directory, done)


def show_subscriptions(found: Sequence[Subscription]) -> None:
    """Say from whom trust files are pulled, and whether that goes on."""
    now = datetime.now(UTC)
    for one in found:
        behind = one.is_behind(now)
        output.state("behind" if behind else "pulled", one.url, good=not behind)
        told: list[tuple[str, object]] = [("for", "the machine" if one.place.is_machine else "you")]
        if one.current_until is not None:
            told.append(("current until", spelled(one.current_until)))
        output.facts(told)


def spelled_subscriptions(found: Sequence[Subscription]) -> list[dict[str, object]]:
    """The same, JSON-able."""
    return [
        {
            "url": one.url,
            "machine": one.place.is_machine,
            "current_until": None if one.current_until is None else spelled(one.current_until),
        }
        for one in found
    ]


def _show_pulled(pulled: Pulled) -> None:
    output.state("pulled", pulled.url)
    files = [("changed" if new else "as it was", path) for path, new in pulled.files.items()]
    version = pulled.versions["targets"]
    output.facts([("version", version), ("current until", spelled(pulled.expires)), *files])


def _show_published(directory: str, done: Published) -> None:
    output.state("published", directory)
    rows = [
        (role, f"version {one.version}{', new' * one.is_new}, good until {spelled(one.expires)}")
        for role, one in done.roles.items()
    ]
    output.facts([*rows, ("files", ", ".join(done.files) or "none")])
    output.detail(f"Machines begin with {done.root}: 'keras-integrity trust pull URL --root FILE'.")


def _emit_published(directory: str, done: Published) -> None:
    roles = {
        role: {
            "version": one.version,
            "expires": spelled(one.expires),
            "signers": list(one.signers),
            "changed": one.is_new,
        }
        for role, one in done.roles.items()
    }
    files = list(done.files)
    at = os.path.abspath(directory)
    output.emit("trust publish", ok=True, directory=at, root=done.root, roles=roles, files=files)


def _source(url: str, root: str) -> Source:
    from keras_integrity_hook.distribution import addresses, subscriptions

    return subscriptions.Source(
        addresses.checked_url(url), owned.read_named(root, LIMITS.published)
    )


def _public(text: str) -> keys.PublicKey:
    if signers.scheme_of(text) in ("file", "env"):
        return keys.read_public(text.removeprefix("file:"))
    return signers.find(text, prompt()).public


def _by_role(option: str, given: Iterable[str]) -> Iterator[tuple[str, str]]:
    """Pairs of a role and what is said of it, where one word may stand for several roles."""
    for text in given:
        role, _, value = text.partition("=")
        if not value or role not in (*_ROLES, *_SEVERAL):
            known = ", ".join((*_ROLES, *_SEVERAL))
            raise ConfigurationError(
                f"{option} {text}: not ROLE=…", remedy=f"ROLE is one of {known}."
            )
        for one in _SEVERAL.get(role, (role,)):
            yield one, value


def _numbers(option: str, given: Iterable[str]) -> Iterator[tuple[str, int]]:
    for role, value in _by_role(option, given):
        if not (value.isascii() and value.isdigit() and 1 <= int(value) <= _MOST):
            cause = f"{option} {role}={value}: not a number from 1 to {_MOST}"
            raise ConfigurationError(cause, remedy="Nothing was published.")
        yield role, int(value)


@contextmanager
def _failures(command: str, as_json: bool) -> Iterator[None]:
    try:
        yield
    except IntegrityError as error:
        output.failed(command, error, as_json=as_json)
