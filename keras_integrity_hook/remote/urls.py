# SPDX-License-Identifier: Apache-2.0
"""URLs of models: what they name, and what of them may be said.

A URL is what rules, errors, the audit log and the history know a model by (:mod:`files.url_names`).
So nothing secret of it may be in there, and no two readers may take one text for different places:
path segments that lead elsewhere (``..``) are refused, which some stores resolve and others take
for a name, and hosts that are spelt so that those who ask may mean another.
"""

from __future__ import annotations

import re

from keras_integrity_hook.errors import RemoteError
from keras_integrity_hook.files import location, url_names
from keras_integrity_hook.files.location import Kind
from keras_integrity_hook.files.url_names import WEB, Parts, shown, without_secrets

__all__ = ["Url", "below", "beside", "is_remote", "shown", "split", "without_secrets"]

_DOTS = re.compile(r"(\.|%2e){1,2}", re.IGNORECASE)
_HOST = re.compile(r"([A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])(:[0-9]*)?")


class Url(Parts):
    """The parts of a URL, and its name."""

    __slots__ = ()

    @property
    def name(self) -> str:
        """The last part of the path, by which Keras tells formats apart."""
        return self.path.rpartition("/")[2] or self.place


def is_remote(text: str) -> bool:
    """Whether ``text`` is a URL of another file system, to a reader that takes URLs."""
    return location.of(text, location.TENSORFLOW).kind is Kind.REMOTE


def split(url: str) -> Url:
    """The parts of ``url``.

    Raises:
        RemoteError: a part of its path leads elsewhere, or its host may be taken for another.
    """
    scheme, place, path, query = url_names.parts_of(url)
    plain = url_names.unescaped(path).replace("%5C", "/") if scheme in WEB else path
    if any(_DOTS.fullmatch(step) for step in plain.split("/")):
        raise RemoteError(
            "a part of its path is '.' or '..', which not every store understands alike",
            path=shown(url),
            remedy="Write the URL without it.",
        )
    if not url_names.has_host(scheme) and ":" in place.rpartition("@")[0]:
        raise RemoteError(
            f"'{scheme}://' has no place for a user's name and password",
            path=shown(url),
            remedy="Give the credentials to the store's own library, in its variables or files.",
        )
    is_odd = "\\" in place or url_names.IGNORED.search(url) is not None
    if scheme in WEB and (is_odd or not _HOST.fullmatch(place.rpartition("@")[2])):
        raise RemoteError(
            "its host is none, or has characters that not everybody reads alike",
            path=shown(url),
            remedy="Write the host in letters, digits, dots and hyphens ('xn--…' for others).",
        )
    return Url(scheme, place, path, query)


def below(url: str, name: str) -> str:
    """The URL of ``name`` in the directory ``url``."""
    return f"{url.rstrip('/')}/{name}" if not url.endswith("://") else url + name


def beside(url: str, name: str) -> str:
    """The URL of the file ``name`` in the directory that ``url`` is in."""
    is_web = split(url).scheme in WEB
    plain = url.partition("#")[0].partition("?")[0] if is_web else url
    return plain[: len(plain) - len(split(url).name)] + name
