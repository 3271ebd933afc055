# SPDX-License-Identifier: Apache-2.0
"""Bearer tokens (RFC 6750): who may ask a registry that is not for everybody.

The file has their SHA-256 only: whoever reads it can ask for nothing. A token is 256 random bits,
so nothing slower than SHA-256 is needed to keep it from being guessed.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
from typing import NamedTuple

from keras_integrity_hook.errors import ConfigurationError, printable
from keras_integrity_hook.files import owned
from keras_integrity_hook.limits import LIMITS
from keras_integrity_hook.sealing import base64_text

_NAME = re.compile(r"[^\s#]{1,64}")
_LINE = re.compile(rf"({_NAME.pattern})\s+([0-9a-f]{{64}})")


class Token(NamedTuple):
    """Whose token it is, and its SHA-256, hex."""

    name: str
    digest: str


def made(name: str) -> tuple[str, Token]:
    """A new token for ``name``, and what the service's file has of it.

    Raises:
        ConfigurationError: the name is too long, or has a space or ``#`` in it.
    """
    if not _NAME.fullmatch(name) or not name.isprintable():
        raise ConfigurationError(
            "the name of a token has 1 to 64 characters, none of them a space or '#'",
            remedy="Choose another name; it says in the file whose token that is.",
        )
    token = secrets.token_urlsafe(32)
    return token, Token(name, digest_of(token))


def digest_of(token: str) -> str:
    """The SHA-256 of a token, hex."""
    return hashlib.sha256(token.encode()).hexdigest()


def read(path: str) -> tuple[Token, ...]:
    """The tokens in the file at ``path``: one a line, its name and its digest; ``#`` begins a
    comment.

    Raises:
        ConfigurationError: there is none, a line is something else, or it is over a megabyte.
        InsecurePermissionsError: everybody may write to it.
    """
    data = owned.read_own(path, LIMITS.policy, named=True)
    if data is None:
        raise ConfigurationError("there is no such file", path=path, remedy=_REMEDY)
    lines = [line.partition("#")[0].strip() for line in data.decode(errors="replace").splitlines()]
    found = tuple(_token(line, number, path) for number, line in enumerate(lines, 1) if line)
    if not found:
        raise ConfigurationError("the file has no token in it", path=path, remedy=_REMEDY)
    return found


_REMEDY = "'keras-integrity registry token NAME' makes one, and the line for the file."


def _token(line: str, number: int, path: str) -> Token:
    matched = _LINE.fullmatch(line)
    if matched is None:
        cause = f"line {number} is not a name and the SHA-256 of a token"
        raise ConfigurationError(cause, path=path, remedy=_REMEDY)
    return Token(printable(matched[1]), matched[2])


def owner(authorization: str, tokens: tuple[Token, ...]) -> str | None:
    """The name of the token in an ``Authorization`` header, or None.

    Browsers can send no bearer token: as the password of ``Basic`` it counts as well.
    """
    scheme, _, rest = authorization.partition(" ")
    token = rest.strip() if scheme.lower() == "bearer" else _password(scheme, rest)
    digest = digest_of(token)
    # All are compared, so that time says nothing of which one it is.
    equal = [one.name for one in tokens if hmac.compare_digest(one.digest, digest)]
    return equal[0] if equal else None


def _password(scheme: str, rest: str) -> str:
    if scheme.lower() != "basic":
        return ""
    try:
        text = base64_text.decode(rest.strip()).decode()
    except ValueError:
        return ""
    return text.partition(":")[2]
