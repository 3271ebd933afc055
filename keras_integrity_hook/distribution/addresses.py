# SPDX-License-Identifier: Apache-2.0
"""From which addresses trust files are pulled."""

from __future__ import annotations

import urllib.parse

from keras_integrity_hook.errors import ConfigurationError, printable

_SCHEMES = ("https", "http", "file")


def checked_url(url: str) -> str:
    """``url`` if files can be fetched from below it, with a slash at its end.

    ``http`` is as good as ``https``: what is fetched is signed, and no secret.

    Raises:
        ConfigurationError: another scheme, or it has a user, a query or a fragment.
    """
    try:
        parts = urllib.parse.urlsplit(url)
        where = parts.path if parts.scheme == "file" else parts.hostname
        _ = parts.port  # is understood only when it is asked for
    except ValueError:
        where = ""
    if not where or not url.isprintable() or parts.scheme not in _SCHEMES:
        cause = f"'{printable(url)}' is no address to pull from"
        raise ConfigurationError(cause, remedy="Give an https://, http:// or file:// address.")
    if parts.query or parts.fragment or "@" in parts.netloc:
        cause = "the address has a user, a query or a fragment"
        raise ConfigurationError(cause, remedy="Leave them out: it stands in logs and messages.")
    return url if url.endswith("/") else f"{url}/"
