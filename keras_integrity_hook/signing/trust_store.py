# SPDX-License-Identifier: Apache-2.0
"""Whom this process trusts: the trust files of the machine, of the user and of the project.

Machine and user each have two, one that is edited there and one that is pulled from a publisher
(``keras-integrity trust pull``): what is revoked here stays so, whatever a publisher says. All are
read; keys are added up and so are revocations. Where only the machine's word counts, its
keys alone are taken, and still everybody's revocations: distrust is never taken away.

Every load asks whether the model was recalled; where there are no trust files, nothing of what
reads them is imported for that.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, NamedTuple

from keras_integrity_hook.errors import ConfigurationError, SigningError
from keras_integrity_hook.files import owned, root_owned
from keras_integrity_hook.files.portable import system
from keras_integrity_hook.limits import LIMITS

if TYPE_CHECKING:
    from keras_integrity_hook.signing.keys import PublicKey
    from keras_integrity_hook.signing.trust_file import (
        Revocation,
        TrustedIdentity,
        TrustedKey,
        TrustedRoot,
        TrustFile,
    )
else:  # for those who look annotations up at run time
    PublicKey = TrustFile = Revocation = TrustedKey = TrustedRoot = TrustedIdentity = object

MACHINE = os.path.join(root_owned.DIRECTORY, "trust.toml")
PUBLISHED = "published/trust.toml"
MACHINE_PUBLISHED = f"{root_owned.DIRECTORY}/{PUBLISHED}"
VARIABLE = "KERAS_INTEGRITY_TRUST"
_Identity = tuple[int, ...]

# A file is parsed again only when its identity or its permissions changed; keys are compared with
# their ids once for each parsed file.
_parsed: dict[str, tuple[_Identity, TrustFile | None]] = {}
_checked: dict[TrustedKey, PublicKey] = {}


class TrustStore(NamedTuple):
    """What counts: keys, by their target the revocations, who else may sign bundles, and whose
    word it is that a model was tried."""

    keys: tuple[TrustedKey, ...]
    revoked_keys: Mapping[str, Revocation]
    revoked_models: Mapping[str, Revocation]
    certificates: tuple[TrustedRoot, ...] = ()
    identities: tuple[TrustedIdentity, ...] = ()
    vetters: tuple[TrustedKey, ...] = ()

    def named(self, name: str) -> tuple[TrustedKey, ...]:
        """The keys with this name or key id."""
        return tuple(key for key in self.keys if name in (key.name, key.keyid))

    def revocation_of(self, key: TrustedKey) -> Revocation | None:
        """The revocation of ``key``, under whatever id its public key may have.

        Raises:
            ConfigurationError: the key is not one.
        """
        if not self.revoked_keys:
            return None
        from keras_integrity_hook.signing import keys

        public = checked(key)
        ids = keys.all_key_ids(public.pem)
        return next((self.revoked_keys[one] for one in ids if one in self.revoked_keys), None)

    def recalling_algorithms(self) -> tuple[str, ...]:
        """The digest algorithms by whose roots models were recalled, as far as the lengths of those
        tell; what this environment cannot compute is left out."""
        from keras_integrity_hook.sealing import tree

        lengths = {len(root) for root in self.revoked_models}
        used = [name for name, width in tree.ALGORITHMS.items() if 2 * width in lengths]
        return tuple(name for name in used if tree.is_available(name))


def user_file() -> str:
    """The path of the user's trust file."""
    return owned.user_file("trust.toml")


def published_file() -> str:
    """The path of what the user pulled from a publisher."""
    return owned.user_file(PUBLISHED)


def is_machines(path: str) -> bool:
    """Whether ``path`` is that of a trust file of the machine, which only root can have written."""
    return path in (MACHINE, MACHINE_PUBLISHED)


def present() -> tuple[str, ...]:
    """The paths of the trust files that are there, the machine's first."""
    project = os.environ.get(VARIABLE, "")
    candidates = (MACHINE, MACHINE_PUBLISHED, user_file(), published_file(), project)
    return tuple(path for path in candidates if path and os.path.lexists(path))


def store(*, machine_only: bool = False, making: str = "") -> TrustStore:
    """The trust store as the files are now; a few ``stat`` calls when none has changed.

    Args:
        machine_only: count the machine's keys alone.
        making: absolute path of a trust file that need not be there yet.

    Raises:
        ConfigurationError: a file has a mistake, two keys one name, or the project's is missing.
        InsecurePermissionsError: others may write one of the files.
    """
    by_machine = [_machine(MACHINE), _machine(MACHINE_PUBLISHED)]
    others = [_owned(user_file()), _owned(published_file())]
    project = os.environ.get(VARIABLE, "")
    if project:
        others.append(_owned(project, required=os.path.abspath(project) != making))
    everybody = [file for file in (*by_machine, *others) if file is not None]
    counted = [file for file in by_machine if file is not None] if machine_only else everybody
    found = tuple(key for file in counted for key in file.keys)
    roots = tuple(root for file in counted for root in file.certificates)
    identities = tuple(one for file in counted for one in file.identities)
    vetters = tuple(key for file in counted for key in file.vetters)
    _refuse_shared_names((*found, *roots, *identities, *vetters))
    return TrustStore(
        found,
        {one.target: one for file in everybody for one in file.revoked_keys},
        {one.target: one for file in everybody for one in file.revoked_models},
        roots,
        identities,
        vetters,
    )


def check_with(path: str, file: TrustFile) -> None:
    """Refuse ``file`` as the content of the trust file at ``path``, if nothing could be loaded with
    it beside the others.

    Raises:
        ConfigurationError: it gives somebody's name to somebody else; or another file has a
            mistake.
    """
    others = [_machine(one) for one in (MACHINE, MACHINE_PUBLISHED) if one != path]
    others += [_owned(one) for one in (user_file(), published_file()) if one != path]
    project = os.environ.get(VARIABLE, "")
    if project and os.path.abspath(project) != path:
        others.append(_owned(project))
    together = [one for one in (file, *others) if one is not None]
    _refuse_shared_names(tuple(who for one in together for who in _trusted_by(one)))


def _trusted_by(
    file: TrustFile,
) -> tuple[TrustedKey | TrustedRoot | TrustedIdentity, ...]:
    return (*file.keys, *file.certificates, *file.identities, *file.vetters)


def revocation(root: str) -> Revocation | None:
    """Why the model with this root digest (hex) was recalled, None where it was not; raises as
    :func:`store`."""
    return store(machine_only=True).revoked_models.get(root)


def checked(key: TrustedKey) -> PublicKey:
    """The public key of ``key``, which must be what its id and scheme say.

    Raises:
        ConfigurationError: it is not.
    """
    known = _checked.get(key)
    if known is not None:
        return known
    from keras_integrity_hook.signing import keys

    try:
        public = keys.public_key(key.public.encode(), key.scheme)
    except SigningError as error:
        raise ConfigurationError(f"key '{key.name}': {error.cause}", path=key.source) from None
    if public.keyid != key.keyid:
        raise ConfigurationError(
            f"key '{key.name}': the key id does not belong to the public key, whose id is "
            f"{public.keyid}",
            path=key.source,
        )
    _checked[key] = public
    return public


def _machine(path: str) -> TrustFile | None:
    identity = _identity(path)
    known = _parsed.get(path)
    if known is not None and known[0] == identity:
        return known[1]
    # Asked even if stat finds nothing: a directory that only looks empty is for it to judge.
    data = root_owned.read_root_owned(path, LIMITS.trust_file)
    return _remember(path, identity, data)


def _owned(path: str, *, required: bool = False) -> TrustFile | None:
    """The file at ``path``, which this user or root must own and nobody else may write."""
    identity = _identity(path)
    known = _parsed.get(path)
    if identity and known is not None and known[0] == identity:
        return known[1]
    data = read_owned(path, named=required)
    if data is None and required:
        cause = f"the trust file that {VARIABLE} names is missing"
        remedy = (
            "'keras-integrity trust add --file FILE NAME PUBLIC' makes one; until then nothing "
            "is loaded that has a seal."
        )
        raise ConfigurationError(cause, path=path, remedy=remedy)
    return _remember(path, identity, data)


def read_owned(path: str, *, named: bool = True) -> bytes | None:
    """The bytes of the user's or the project's trust file; raises as :func:`owned.read_own`."""
    return owned.read_own(path, LIMITS.trust_file, named=named, strict=True)


def _refuse_shared_names(
    found: tuple[TrustedKey | TrustedRoot | TrustedIdentity, ...],
) -> None:
    """One name stands for one key, one root with its identity, or one identity of sigstore."""
    named: dict[str, TrustedKey | TrustedRoot | TrustedIdentity] = {}
    for one in found:
        other = named.setdefault(one.name, one)
        if who(other) != who(one):
            raise ConfigurationError(
                f"two of those trusted are named '{one.name}' (the other is in {other.source})",
                path=one.source,
            )


def who(one: TrustedKey | TrustedRoot | TrustedIdentity) -> tuple[str | None, ...]:
    """What of an entry decides whose signatures count by it; its name and its period do not."""
    from keras_integrity_hook.signing.trust_file import TrustedKey, TrustedRoot

    if isinstance(one, TrustedKey):
        return (one.keyid,)
    if isinstance(one, TrustedRoot):
        return one.pem, one.identity
    return one.trusted_root, one.identity, one.issuer


def _identity(path: str) -> _Identity:
    """What changes when the file does; () where there is none."""
    try:
        found = system.stat(path)
    except (OSError, ValueError):
        return ()
    return (
        found.st_dev,
        found.st_ino,
        found.st_size,
        found.st_mtime_ns,
        found.st_ctime_ns,
        found.st_mode,
    )


def _remember(path: str, identity: _Identity, data: bytes | None) -> TrustFile | None:
    parsed = None
    if data is not None:
        from keras_integrity_hook.signing import trust_file

        parsed = trust_file.parse(data, path)
    _parsed[path] = identity, parsed
    return parsed
