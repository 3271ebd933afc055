# SPDX-License-Identifier: Apache-2.0
"""Where passphrases and PINs come from: the environment, a private file, or a person.

Never from a command line, which every user of the machine can read.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable

from keras_integrity_hook.errors import SigningError
from keras_integrity_hook.files import portable
from keras_integrity_hook.files.portable import system
from keras_integrity_hook.limits import LIMITS

PASSPHRASE, PASSPHRASE_FILE = (
    "KERAS_INTEGRITY_KEY_PASSPHRASE",
    "KERAS_INTEGRITY_KEY_PASSPHRASE_FILE",
)
Ask = Callable[[str], str]
"""Called with the name of a secret, for a person; returns the secret. Raises SigningError."""


def from_environment() -> str | None:
    """The secret that the environment gives, itself or the path of a file of mode 0600.

    Raises:
        SigningError: the file is not as it should be.
    """
    given = os.environ.get(PASSPHRASE)
    if given:
        return given
    path = os.environ.get(PASSPHRASE_FILE)
    if not path:
        return None
    try:
        return read_file(path, "passphrase file").decode().rstrip("\r\n")
    except UnicodeDecodeError:
        raise SigningError("the passphrase is not UTF-8 text", path=path) from None


def read_file(path: str, what: str = "key file") -> bytes:
    """The bytes of a small file that nobody but its owner, this user or root, can read.

    Links are followed (Kubernetes mounts its secrets by them); what is looked at is what was
    opened.

    Raises:
        SigningError: it is not such a file.
    """
    try:
        fd = system.open(
            path, os.O_RDONLY | portable.O_CLOEXEC | portable.O_NONBLOCK | portable.O_NOCTTY
        )
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or "not a path"
        raise SigningError(f"the {what} cannot be opened ({why})", path=path) from None
    try:
        _check_private(system.fstat(fd), path, what)
        data = os.read(fd, LIMITS.key_file + 1)
    except OSError as error:
        raise SigningError(f"the {what} cannot be read ({error.strerror})", path=path) from None
    finally:
        os.close(fd)
    if len(data) > LIMITS.key_file:
        raise SigningError(f"the {what} is over {LIMITS.key_file} bytes", path=path)
    return data


class Secrets:
    """Asks where a secret is needed, and takes those it has given out of messages again.

    Args:
        ask: asks a person when the environment gives nothing; None where there is nobody.
    """

    def __init__(self, ask: Ask | None) -> None:
        self._ask = ask
        self._given_out: list[str] = []

    def __call__(self, name: str) -> str:
        secret = from_environment()
        if secret is None and self._ask is not None:
            secret = self._ask(name)
        if not secret:
            raise SigningError(f"the {name} is needed; set {PASSPHRASE_FILE}")
        self._given_out.append(secret)
        return secret

    def without(self, text: str) -> str:
        """``text`` with every secret that was given out replaced."""
        for secret in self._given_out:
            text = text.replace(secret, "***")
        return text


def _check_private(status: os.stat_result, path: str, what: str) -> None:
    if not stat.S_ISREG(status.st_mode):
        raise SigningError(f"the {what} is not a regular file", path=path)
    if status.st_uid not in (system.geteuid(), 0):
        raise SigningError(f"the {what} belongs to another user ({status.st_uid})", path=path)
    mode = stat.S_IMODE(status.st_mode)
    if mode & 0o077:
        raise SigningError(f"others may use the {what} (mode {mode:04o})", path=path)
