# SPDX-License-Identifier: Apache-2.0
"""URLs of models: what they name, and what of them may be said.

A URL is what rules, errors, the audit log and the history know a model by. So nothing secret of it
may be in there, and no two readers may take one text for different places: path segments that lead
elsewhere (``..``) are refused, which some stores resolve and others take for a name.
"""

from __future__ import annotations

import re
from typing import NamedTuple
from urllib.parse import unquote

from keras_integrity_hook.errors import RemoteError
from keras_integrity_hook.files import location
from keras_integrity_hook.files.location import Kind

_WEB = ("http", "https")
# What presigned URLs of S3, Google's and Azure's stores are signed by; and what hosts call tokens.
_SECRET = re.compile(
    r"x-(amz|goog|oss)-.*|awsaccesskeyid|googleaccessid|signature|sig|se|sp|sv|sr|st|spr|skoid|"
    r"sktid|skt|ske|sks|skv|expires|key-pair-id|policy|token|access_token|auth|api_?key|key|"
    r"password|secret",
    re.IGNORECASE,
)
# Where a user's name and password may stand before the host. Elsewhere what stands before an "@" is
# a part of the place: abfs://container@account/, two of which are not one.
_WITH_USERS = (*_WEB, "ftp", "ftps", "sftp", "ssh", "smb", "webhdfs", "hdfs", "arrow_hdfs")
_QUOTED = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://[^\s'\"<>]+")
_DOTS = re.compile(r"(\.|%2e){1,2}", re.IGNORECASE)


class Url(NamedTuple):
    """The parts of a URL that count here.

    Attributes:
        scheme: in lower case.
        place: host or bucket, with what else stands before the path.
        path: after that, with its first slash; empty for none.
        query: of a web address, without its ``?``.
    """

    scheme: str
    place: str
    path: str
    query: str

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
        RemoteError: a part of its path leads elsewhere.
    """
    scheme, place, path, query = _parts(url)
    if any(_DOTS.fullmatch(step) for step in path.split("/")):
        raise RemoteError(
            "a part of its path is '.' or '..', which not every store understands alike",
            path=shown(url),
            remedy="Write the URL without it.",
        )
    if scheme not in _WITH_USERS and ":" in place.rpartition("@")[0]:
        raise RemoteError(
            f"'{scheme}://' has no place for a user's name and password",
            path=shown(url),
            remedy="Give the credentials to the store's own library, in its variables or files.",
        )
    return Url(scheme, place, path, query)


def _parts(url: str) -> tuple[str, str, str, str]:
    """Scheme, place, path and query. What follows ``?`` or ``#`` is never a part of the host, to
    those who fetch it: nobody is told of another host than they ask."""
    scheme, _, rest = url.partition("://")
    scheme, query = scheme.lower(), ""
    if scheme in _WEB:
        rest, _, query = rest.partition("#")[0].partition("?")
    place, slash, path = rest.partition("/")
    return scheme, place, slash + path, query


def shown(url: str) -> str:
    """``url`` as it is spoken of: without a user's name and password, and without what a presigned
    one is signed by."""
    scheme, place, path, query = _parts(url)
    user, _, host = place.rpartition("@")
    if scheme in _WITH_USERS or ":" in user:
        place = host
    kept = "&".join(one for one in query.split("&") if one and not _is_secret(one))
    return f"{scheme}://{place}{path}" + (f"?{kept}" if kept else "")


def without_secrets(text: str) -> str:
    """``text`` with each URL in it as it may be :func:`shown`, however it is spelt there."""
    return _QUOTED.sub(lambda found: shown(found[0]), text)


def _is_secret(parameters: str) -> bool:
    # Servers unescape the names, and some take ";" for "&".
    names = (one.partition("=")[0] for one in parameters.split(";"))
    return any(_SECRET.fullmatch(unquote(name)) for name in names)


def below(url: str, name: str) -> str:
    """The URL of ``name`` in the directory ``url``."""
    return f"{url.rstrip('/')}/{name}" if not url.endswith("://") else url + name


def beside(url: str, name: str) -> str:
    """The URL of the file ``name`` in the directory that ``url`` is in."""
    is_web = split(url).scheme in _WEB
    plain = url.partition("#")[0].partition("?")[0] if is_web else url
    return plain[: len(plain) - len(split(url).name)] + name
