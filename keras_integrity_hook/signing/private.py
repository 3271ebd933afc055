# SPDX-License-Identifier: Apache-2.0
"""Private keys on this machine: made, written, read from a file or from the environment.

Nothing here puts a key or a passphrase into a message, a log line or a ``repr``, and errors are
raised ``from None``: a traceback shows the values of no other library's frames either.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from keras_integrity_hook.errors import SigningError, printable
from keras_integrity_hook.files import portable
from keras_integrity_hook.files.portable import system
from keras_integrity_hook.signing import keys, openssl, secret
from keras_integrity_hook.signing.keys import PublicKey
from keras_integrity_hook.signing.secret import Ask

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes
else:  # for those who look annotations up at run time
    PrivateKeyTypes = object


def read_file(path: str, ask: Ask) -> tuple[PublicKey, Callable[[bytes], bytes]]:
    """The public half of the key in the file at ``path``, and the function that signs with it.

    Raises:
        SigningError: no such file, others may read it, no key, wrong passphrase.
    """
    return _halves(secret.read_file(path), path, ask)


def read_environment(name: str, ask: Ask) -> tuple[PublicKey, Callable[[bytes], bytes]]:
    """As :func:`read_file`, for a PEM text in the environment variable ``name``."""
    text = os.environ.get(name, "")
    if not text:
        raise SigningError(f"the environment variable {printable(name)} holds no key")
    return _halves(text.encode(errors="replace"), f"env:{name}", ask)


def check_new(path: str) -> None:
    """Whether :func:`write_pair` could write there: asked before a person makes up a passphrase.

    Raises:
        SigningError: one of the files exists already, or their directory does not.
    """
    for one in (path, f"{path}.pub"):
        if os.path.lexists(one):
            raise _exists(one)
    if not os.path.isdir(os.path.dirname(path) or "."):
        raise _unwritable(path, "there is no such directory")


def write_pair(path: str, kind: str, passphrase: str | None) -> PublicKey:
    """Make a key and write it to ``path`` (0600), its public half to ``path.pub``.

    Args:
        kind: ``"ed25519"`` or ``"ecdsa"`` (P-256).
        passphrase: encrypts the private key; None leaves it in the clear.

    Raises:
        SigningError: one of the files exists already, or cannot be written.
    """
    from cryptography.hazmat.primitives import serialization as form
    from cryptography.hazmat.primitives.asymmetric import ec, ed25519

    encryption: form.KeySerializationEncryption = form.NoEncryption()
    if passphrase is not None:
        encryption = form.BestAvailableEncryption(_bytes_of(passphrase))
    with openssl.entered():
        made: PrivateKeyTypes = (
            ed25519.Ed25519PrivateKey.generate()
            if kind == "ed25519"
            else ec.generate_private_key(ec.SECP256R1())
        )
        secret = made.private_bytes(form.Encoding.PEM, form.PrivateFormat.PKCS8, encryption)
        public = keys.described(made.public_key())
    _write_new(f"{path}.pub", public.pem.encode(), 0o644)
    try:
        _write_new(path, secret, 0o600)
    except BaseException:
        os.unlink(f"{path}.pub")
        raise
    return public


def _halves(pem: bytes, shown: str, ask: Ask) -> tuple[PublicKey, Callable[[bytes], bytes]]:
    private = _load(pem, shown, ask)
    try:
        with openssl.entered():
            public = keys.described(private.public_key())
    except (SigningError, AttributeError) as error:
        cause = error.cause if isinstance(error, SigningError) else "a key that cannot sign"
        raise SigningError(cause, path=shown) from None
    return public, lambda data: keys.signature_of(private, public.scheme, data)


def _load(pem: bytes, shown: str, ask: Ask) -> PrivateKeyTypes:
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    # Asked for only where the key needs one: cryptography refuses a passphrase too many.
    encrypted = b"ENCRYPTED" in pem
    passphrase = _bytes_of(ask(f"passphrase of {printable(shown)}")) if encrypted else None
    try:
        with openssl.entered():
            return load_pem_private_key(pem, passphrase)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        why = "the passphrase is wrong or the key damaged" if encrypted else "no private key in PEM"
        raise SigningError(why, path=shown) from None


def _write_new(path: str, data: bytes, mode: int) -> None:
    try:
        # O_EXCL: no key is ever overwritten, and no link is followed.
        fd = system.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | portable.O_CLOEXEC, mode)
    except FileExistsError:
        raise _exists(path) from None
    except OSError as error:
        raise _unwritable(path, error.strerror) from None
    try:
        with open(fd, "wb") as file:
            file.write(data)
    except OSError as error:
        Path(path).unlink(missing_ok=True)
        raise _unwritable(path, error.strerror) from None


def _bytes_of(passphrase: str) -> bytes:
    # A variable of the environment need not be UTF-8.
    return passphrase.encode(errors="surrogateescape")


def _exists(path: str) -> SigningError:
    remedy = "Give another name; no key was made."
    return SigningError("the file exists and is not overwritten", path=path, remedy=remedy)


def _unwritable(path: str, why: str | None) -> SigningError:
    remedy = "Check the directory, its permissions and free space; no key was made."
    return SigningError(f"cannot be written ({why})", path=path, remedy=remedy)
