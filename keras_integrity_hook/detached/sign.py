# SPDX-License-Identifier: Apache-2.0
"""Sign a model as OpenSSF Model Signing does: a bundle beside it, the model untouched."""

from __future__ import annotations

import base64
import contextlib
import os
from collections.abc import Iterator
from typing import NamedTuple

from keras_integrity_hook import audit
from keras_integrity_hook.detached import bundle as bundles
from keras_integrity_hook.detached import (
    bundle_signer,
    certificates,
    manifest,
    resources,
    vouching,
)
from keras_integrity_hook.detached.bundle import Bundle, Method
from keras_integrity_hook.detached.manifest import GIT_PATHS, Manifest
from keras_integrity_hook.errors import IntegrityError, SigningError
from keras_integrity_hook.files import atomic
from keras_integrity_hook.files.target import real_path
from keras_integrity_hook.signing import keys, openssl, signers
from keras_integrity_hook.signing.keys import PublicKey
from keras_integrity_hook.signing.secret import Ask, Secrets


class Signed(NamedTuple):
    """What was written: the bundle's path, the id of the key, and how many files it covers."""

    bundle: str
    keyid: str
    files: int


def sign(
    path: str,
    reference: str,
    *,
    chain: bytes | None = None,
    output: str | None = None,
    ask: Ask | None = None,
) -> Signed:
    """Sign the model at ``path`` as it is now.

    Args:
        path: a file, or a directory, of which every file is signed.
        reference: the key, as of :func:`signers.sign`; ECDSA, the only kind these bundles have.
        chain: certificates in PEM, the signer's first, to be checked by instead of the key.
        output: where the bundle goes; by default ``<file>.sig``, or ``model.sig`` in a directory.
        ask: asks a person for a passphrase or PIN.

    Raises:
        SigningError: the key or the certificates cannot be used, or the bundle not be written.
        UnreadableFileError: the model cannot be read, or has links in it.
        LimitExceededError, NotAModelError, DamagedFileError: see :func:`resources.opened`.
        AuditError: it could not be recorded, and has to be; nothing was written.
    """
    target = output or vouching.places(path)[0]
    secrets = Secrets(ask)
    key = signers.find(reference, secrets)
    if not key.public.scheme.startswith(bundle_signer.ECDSA):
        raise SigningError(
            f"Model Signing has signatures by ECDSA alone, and the key is {key.public.scheme}",
            path=reference,
        )
    material = _chain(chain, key.public)
    listed = _listed(path, target)
    payload = manifest.encode(listed)
    signature = base64.b64decode(signers.sign_with(key, payload, reference, secrets).sig)
    made = (
        Bundle(payload, signature, Method.CERTIFICATE, certificates=material)
        if material
        else Bundle(payload, signature, Method.KEY, hint=bundle_signer.hint_of(key.public))
    )
    done = Signed(target, key.public.keyid, len(listed.files))
    with _written(bundles.encode(made), target):
        audit.record("sign", path, outcome="ok", **done._asdict())
    return done


def _listed(path: str, target: str) -> Manifest:
    ignored = (*GIT_PATHS, *resources.inside(path, target)) if os.path.isdir(path) else ()
    name = os.path.basename(real_path(path))

    def skips(name: str) -> bool:
        return resources.is_below(name, ignored)

    try:
        with resources.opened(path, skips, links=False) as parts:
            return Manifest(name, resources.digests(parts), ignored=ignored)
    except IntegrityError as error:
        error.path = error.path or path
        raise
    except OSError as error:
        raise SigningError(f"cannot be read ({error.strerror})", path=path) from error


@openssl.inside
def _chain(pem: bytes | None, public: PublicKey) -> tuple[bytes, ...]:
    """The certificates as DER. Raises SigningError where the first is not that of ``public``."""
    if pem is None:
        return ()
    from cryptography.hazmat.primitives.serialization import Encoding

    found = certificates.parsed(pem)
    held = keys.described(found[0].public_key())
    if held.pem != public.pem:
        remedy = "Put the certificate of the key first, or sign with the key it is for."
        raise SigningError("the first of the certificates is not that of the key", remedy=remedy)
    return tuple(one.public_bytes(Encoding.DER) for one in found)


@contextlib.contextmanager
def _written(data: bytes, target: str) -> Iterator[None]:
    """Put ``data`` at ``target`` in one step, after what is done inside. Raises SigningError."""
    try:
        with atomic.open_target(target) as final, atomic.private_file(final) as private:
            final.refuse_unwritable()
            with os.fdopen(private.create(0o666), "wb") as file:
                file.write(data)
            yield
            private.put_in_place()
    except OSError as error:
        cause = f"the bundle could not be written ({error.strerror})"
        remedy = "Check the directory, its permissions and free space."
        raise SigningError(cause, path=target, remedy=remedy) from error
