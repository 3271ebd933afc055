# SPDX-License-Identifier: Apache-2.0
"""Where passphrases and PINs come from: the environment, a private file, or a person.

Never from a command line, which every user of the machine can read.
"""

from __future__ import annotations

import os
from collections.abc import Callable

from keras_integrity_hook.errors import SigningError

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
    from keras_integrity_hook.signing import private

    try:
        return private.read_secret(path).decode().rstrip("\r\n")
    except UnicodeDecodeError:
        raise SigningError("the passphrase is not UTF-8 text", path=path) from None


class Secrets:
    """Asks where a secret is needed, and keeps what it was told out of messages.

    Args:
        ask: asks a person when the environment gives nothing; None where there is nobody.
    """

    def __init__(self, ask: Ask | None) -> None:
        self._ask = ask
        self._told: list[str] = []

    def __call__(self, name: str) -> str:
        secret = from_environment()
        if secret is None and self._ask is not None:
            secret = self._ask(name)
        if not secret:
            raise SigningError(f"the {name} is needed; set {PASSPHRASE_FILE}")
        self._told.append(secret)
        return secret

    def without(self, text: str) -> str:
        """``text`` with every secret that was given out replaced."""
        for secret in self._told:
            text = text.replace(secret, "***")
        return text
