# SPDX-License-Identifier: Apache-2.0
"""Private keys on this machine: made, written, read from a file or from the environment.

Nothing here puts a key or a passphrase into a message, a log line or a ``repr``, and errors are
raised ``from None``: a traceback shows the values of no other library's frames either.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from keras_integrity_hook.errors import SigningError, printable
from keras_integrity_hook.limits import LIMITS
from keras_integrity_hook.signing import keys
from keras_integrity_hook.signing.keys import PublicKey
from keras_integrity_hook.signing.secret import Ask

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes


def read_file(path: str, ask: Ask) -> tuple[PublicKey, Callable[[bytes], bytes]]:
    """The public half of the key in the file at ``path``, and the function that signs with it.

    Raises:
        SigningError: no such file, others may read it, no key, wrong passphrase.
    """
    return _halves(read_secret(path), path, ask)


def read_environment(name: str, ask: Ask) -> tuple[PublicKey, Callable[[bytes], bytes]]:
    """As :func:`read_file`, for a PEM text in the environment variable ``name``."""
    text = os.environ.get(name, "")
    if not text:
        raise SigningError(f"the environment variable {printable(name)} holds no key")
    return _halves(text.encode(errors="replace"), f"env:{name}", ask)


def read_secret(path: str) -> bytes:
    """The bytes of a small file that nobody but its owner, this user or root, can read.

    Links are followed (Kubernetes mounts its secrets by them); what is looked at is what was
    opened.

    Raises:
        SigningError: it is not such a file.
    """
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY)
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or "not a path"
        raise SigningError(f"the key file cannot be opened ({why})", path=path) from None
    try:
        _check_private(os.fstat(fd), path)
        data = os.read(fd, LIMITS.key_file + 1)
    except OSError as error:
        raise SigningError(f"the key file cannot be read ({error.strerror})", path=path) from None
    finally:
        os.close(fd)
    if len(data) > LIMITS.key_file:
        raise SigningError(f"the key file is over {LIMITS.key_file} bytes", path=path)
    return data


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

    made: PrivateKeyTypes = (
        ed25519.Ed25519PrivateKey.generate()
        if kind == "ed25519"
        else ec.generate_private_key(ec.SECP256R1())
    )
    encryption: form.KeySerializationEncryption = form.NoEncryption()
    if passphrase is not None:
        encryption = form.BestAvailableEncryption(passphrase.encode())
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
    passphrase = ask(f"passphrase of {printable(shown)}").encode() if encrypted else None
    try:
        return load_pem_private_key(pem, passphrase)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        why = "the passphrase is wrong or the key damaged" if encrypted else "no private key in PEM"
        raise SigningError(why, path=shown) from None


def _check_private(found: os.stat_result, path: str) -> None:
    if not stat.S_ISREG(found.st_mode):
        raise SigningError("the key is not in a regular file", path=path)
    if found.st_uid not in (os.geteuid(), 0):
        raise SigningError(f"the key file belongs to another user ({found.st_uid})", path=path)
    mode = stat.S_IMODE(found.st_mode)
    if mode & 0o077:
        raise SigningError(f"others may use the key file (mode {mode:04o})", path=path)


def _write_new(path: str, data: bytes, mode: int) -> None:
    try:
        # O_EXCL: no key is ever overwritten, and no link is followed.
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
    except FileExistsError:
        raise SigningError("the file exists and is not overwritten", path=path) from None
    except OSError as error:
        raise SigningError(f"cannot be written ({error.strerror})", path=path) from None
    try:
        with open(fd, "wb") as file:
            file.write(data)
    except OSError as error:
        Path(path).unlink(missing_ok=True)
        raise SigningError(f"cannot be written ({error.strerror})", path=path) from None
