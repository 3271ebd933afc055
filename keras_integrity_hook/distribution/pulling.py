# SPDX-License-Identifier: Apache-2.0
"""Pull: what a publisher says now, checked by python-tuf, put where loads look for it.

That the publisher said it, that nothing newer was seen before, that it is not held back for longer
than the publisher allows, and that all of it belongs together is TUF's affair (rollback, freeze and
mix-and-match in https://theupdateframework.github.io/specification/latest/#attacks), which starts
from one file that an administrator installs: the initial root.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from datetime import datetime
from typing import TYPE_CHECKING, Any, NamedTuple

from keras_integrity_hook import audit
from keras_integrity_hook.distribution import places, subscriptions, targets
from keras_integrity_hook.distribution.places import Place
from keras_integrity_hook.distribution.repository import require_tuf
from keras_integrity_hook.distribution.subscriptions import Source
from keras_integrity_hook.errors import (
    AuditError,
    ConfigurationError,
    IntegrityError,
    SigningError,
    TrustUpdateError,
    printable,
)
from keras_integrity_hook.files import reading
from keras_integrity_hook.limits import LIMITS
from keras_integrity_hook.signing import trust_edit, trust_file, trust_store

if TYPE_CHECKING:
    from tuf.ngclient import Updater
else:  # for those who look annotations up at run time
    Updater = object

_EDITED = (
    "What else was pulled is in force. Compare the two; --replace-policy puts the published one in "
    "its place and keeps this one beside it."
)
_UNAVAILABLE = "What was pulled before stays in force. Try again when the address answers."
_UNRECORDED = "Make the audit log writable, and pull again."
_OTHER_ROOT = (
    "If the publisher has begun anew, --replace-root believes this one from now on. A publisher "
    "who only changes keys needs no new initial root."
)


class Pulled(NamedTuple):
    """What came of it.

    Attributes:
        url: where it is from.
        versions: of the publisher's roles, by name.
        expires: until when the publisher says that this is the newest.
        files: what of it is in force, by path; True where that changed.
    """

    url: str
    versions: Mapping[str, int]
    expires: datetime
    files: Mapping[str, bool]


def pull(
    place: Place,
    given: Source | None = None,
    *,
    replace_root: bool = False,
    replace_policy: bool = False,
) -> Pulled:
    """Bring ``place`` up to what its publisher says now.

    Args:
        given: whom a person says to believe; None for whom was believed before.
        replace_root: even if it is somebody else.
        replace_policy: even if the policy that is there was not pulled.

    Raises:
        TrustUpdateError: it is not to be had, not genuine, old, or has a mistake.
        SigningError: the files cannot be written.
        ConfigurationError: there is no source yet, or files that are there have a mistake.
        InsecurePermissionsError: others may write what is there.
        AuditError: it has to be recorded and cannot be; nothing was changed but that trust was
            taken away, where the publisher does.
    """
    if given is None and not os.path.isdir(place.directory):
        raise _no_source(place)
    with places.locked(place), _refusals_recorded(place):
        # 1. Whom to believe.
        source = _source(place, given, replace_root=replace_root)
        # 2. The publisher's newest word, and what it names.
        with _as_update_errors(source.url), _updater(place, source) as updater:
            updater.refresh()
            news = dict(_fetched(updater, source.url))
        # 3. Nothing is put in place that could not be read there.
        _check(place, news, source.url)
        # 4. The files; the policy last, since it may ask for what the others have.
        versions, expires = _told_by(subscriptions.metadata_of(place, source))
        files = _put(place, news, source.url, versions)
        _put_source(place, source, expires)
        policy = news.get(targets.POLICY)
        if policy is not None:
            changed = _put_policy(place, policy, source.url, even_if_edited=replace_policy)
            files[place.policy] = changed
        return Pulled(source.url, versions, expires, files)


def _source(place: Place, given: Source | None, *, replace_root: bool) -> Source:
    before = subscriptions.installed(place)
    if given is None:
        if before is None:
            raise _no_source(place)
        return before
    if before is not None and before.root != given.root and not replace_root:
        cause = "the initial root is another than the one that is believed here"
        raise ConfigurationError(cause, path=place.file("root.json"), remedy=_OTHER_ROOT)
    return given


def _no_source(place: Place) -> ConfigurationError:
    cause = "nothing was pulled here yet, so nobody knows from where"
    remedy = "'keras-integrity trust pull URL --root FILE' begins, with the initial root."
    return ConfigurationError(cause, path=place.directory, remedy=remedy)


@contextmanager
def _updater(place: Place, source: Source) -> Iterator[Updater]:
    from tuf.ngclient import Updater, UpdaterConfig

    from keras_integrity_hook.distribution.fetching import Fetcher

    directory = subscriptions.metadata_of(place, source)
    os.makedirs(directory, exist_ok=True)
    longest = LIMITS.published
    with closing(Fetcher()) as fetcher:
        yield Updater(
            directory,
            f"{source.url}metadata/",
            os.path.join(directory, "targets"),
            f"{source.url}targets/",
            fetcher=fetcher,
            config=UpdaterConfig(
                max_root_rotations=LIMITS.published_roots,
                max_delegations=0,
                root_max_length=longest,
                timestamp_max_length=longest,
                snapshot_max_length=longest,
                targets_max_length=longest,
            ),
            bootstrap=source.root,
        )


def _fetched(updater: Updater, url: str) -> Iterator[tuple[str, bytes]]:
    """The files that the publisher has, by their names."""
    for name in targets.TARGETS:
        info = updater.get_targetinfo(name)
        if info is None:
            continue
        if info.length > targets.LENGTHS[name]:
            cause = f"{name} is over {targets.LENGTHS[name]} bytes"
            raise TrustUpdateError(cause, path=url, reason="unusable")
        path = updater.find_cached_target(info) or updater.download_target(info)
        yield name, reading.read_file(path, targets.LENGTHS[name])


def _check(place: Place, news: Mapping[str, bytes], url: str) -> None:
    try:
        for name, data in news.items():
            targets.check(name, data, place.file(name), place.layer)
        if targets.TRUST in news:
            path = place.file(targets.TRUST)
            trust_store.check_with(path, trust_file.parse(news[targets.TRUST], path))
    except ConfigurationError as error:
        cause = f"what was published cannot be used: {os.path.basename(error.path or '')}"
        raise TrustUpdateError(f"{cause}: {error.cause}", path=url, reason="unusable") from error


def _put(
    place: Place, news: Mapping[str, bytes], url: str, versions: Mapping[str, int]
) -> dict[str, bool]:
    """Put all but the policy in place; what changed, by path."""
    files = {}
    for name, data in news.items():
        if name == targets.POLICY:
            continue
        path = place.file(name)
        changed = place.read(path, targets.LENGTHS[name]) != data
        if changed:
            try:
                _recorded(path, url, version=versions["targets"])
            except AuditError as error:
                raise _narrowed(place, news, error) from error
            with _as_signing_errors(path):
                places.put(path, data)
        files[path] = changed
    return files


def _narrowed(place: Place, news: Mapping[str, bytes], error: AuditError) -> AuditError:
    """Put of the trust file in place what takes trust away, as ``trust revoke`` does: a log that
    somebody fills up must not keep a stolen key good. What is to be told of it."""
    path, published = place.file(targets.TRUST), news.get(targets.TRUST)
    told = "nothing of what was published is in force"
    if published is not None:
        here = place.read(path, targets.LENGTHS[targets.TRUST]) or b""
        left = trust_edit.narrowed(here, published, path)
        if left != here:
            with _as_signing_errors(path):
                places.put(path, left)
        said = trust_file.parse(published, path)
        if left != here or said.revoked_keys or said.revoked_models:
            told = "of what was published, only the revocations are in force"
    return AuditError(f"{error.cause}; {told}", path=error.path, remedy=_UNRECORDED)


def _put_policy(place: Place, policy: bytes, url: str, *, even_if_edited: bool) -> bool:
    """Let the policy that was pulled be in force; whether that changed anything."""
    here = place.read(place.policy, LIMITS.policy)
    copy = place.file(targets.POLICY)
    if here not in (policy, None, place.read(copy, LIMITS.policy)) and not even_if_edited:
        cause = "there is a policy that was not pulled, and it stays in force"
        raise ConfigurationError(cause, path=place.policy, remedy=_EDITED)
    with _as_signing_errors(place.policy):
        if here != policy:
            _recorded(place.policy, url)
            places.put_policy(place, policy)
        places.put(copy, policy)  # after it: a policy that was pulled is always known as one
    return here != policy


def _put_source(place: Place, source: Source, current_until: datetime) -> None:
    wanted = {
        "root.json": source.root,
        "source.toml": subscriptions.spelled(source.url, current_until),
    }
    for name, data in wanted.items():
        path = place.file(name)
        if place.read(path, LIMITS.published) != data:
            with _as_signing_errors(path):
                places.put(path, data)


def _told_by(metadata: str) -> tuple[dict[str, int], datetime]:
    """The versions of what python-tuf has just checked, and when the first of them expires."""
    from tuf.api.metadata import Metadata

    read: dict[str, Any] = {
        role: Metadata.from_file(os.path.join(metadata, f"{role}.json")).signed
        for role in ("root", "timestamp", "snapshot", "targets")
    }
    expires: datetime = min(signed.expires for signed in read.values())
    return {role: signed.version for role, signed in read.items()}, expires


def _recorded(path: str, url: str, **facts: object) -> None:
    audit.record("trust", path, outcome="ok", change="pulled", kind="file", source=url, **facts)


@contextmanager
def _refusals_recorded(place: Place) -> Iterator[None]:
    try:
        yield
    except IntegrityError as error:
        path = place.directory
        audit.record("trust", path, outcome="refused", change="pulled", kind="file", error=error)
        raise


@contextmanager
def _as_update_errors(url: str) -> Iterator[None]:
    """Raise TrustUpdateError for whatever python-tuf finds, and for its missing."""
    require_tuf()
    from tuf.api import exceptions as tuf

    meanings: tuple[tuple[type[Exception], str, str], ...] = (
        (tuf.ExpiredMetadataError, "expired", "its newest word has expired, or newer is held back"),
        (tuf.BadVersionNumberError, "older", "it shows an older state than before"),
        (tuf.RepositoryError, "not-genuine", "what it shows is not what the publisher signed"),
        (tuf.DownloadLengthMismatchError, "not-genuine", "it sends more than there can be"),
        (tuf.DownloadError, "unavailable", "it does not answer"),
    )
    try:
        yield
    except (tuf.RepositoryError, tuf.DownloadError) as error:
        reason, cause = next(told for kind, *told in meanings if isinstance(error, kind))
        remedy = _UNAVAILABLE if reason == "unavailable" else None
        cause = f"{cause} ({_spoken(error)})"
        raise TrustUpdateError(cause, path=url, reason=reason, remedy=remedy) from error
    except OSError as error:
        cause = f"cannot be written ({error.strerror})"
        raise SigningError(cause, path=error.filename) from error


def _spoken(error: BaseException) -> str:
    why = error.__cause__ if error.__cause__ is not None else error
    return printable(" ".join(str(why).split()) or type(why).__name__)[:300]


@contextmanager
def _as_signing_errors(path: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise SigningError(f"cannot be written ({error.strerror})", path=path) from None
