# SPDX-License-Identifier: Apache-2.0
"""What the place behind a URL is called: one name, however it is spelt, and nothing secret in it.

Rules are found by that name, and errors, the audit log, the history and the registry tell it. Who
chooses a URL chooses its spelling too: a rule for ``https://models.example.com/**`` is for
``HTTPS://Models.Example.COM.:443/%6Dodel.keras`` all the same. So a name has

- the scheme in lower case, and of several for one store (``s3a``, ``gcs``) the usual one;
- of a host its lower case, no last dot, no port that goes without saying, and numbers of an address
  in their usual form (RFC 3986, section 6.2.3; ``inet_aton`` reads ``127.1``);
- of a web address no escapes of what needs none (section 6.2.2.2), be it the slash, which servers
  unescape, too;
- no user's name and password, and nothing that a presigned URL is signed by.

A name is for comparing and telling. What is fetched is asked for as it was given.
"""

from __future__ import annotations

import re
from typing import NamedTuple

WEB = ("http", "https")
# Where a user's name and password may stand before the host. Elsewhere what stands before an "@" is
# a part of the place: abfs://container@account/, two of which are not one.
_WITH_HOSTS = (*WEB, "ftp", "ftps", "sftp", "smb", "webhdfs", "hdfs")
_USUAL = {
    **dict.fromkeys(("s3a", "s3n"), "s3"),
    **dict.fromkeys(("az", "abfss"), "abfs"),
    "gcs": "gs",
    "ssh": "sftp",
    "arrow_hdfs": "hdfs",
    "ocilake": "oci",
    "tosfs": "tos",
}
_PORTS = {"http": "80", "https": "443", "ftp": "21", "sftp": "22", "smb": "445"}
# Stores that take the first name for the bucket, or for the first directory, after any slashes.
_FIRST_NAME_COUNTS = ("s3", "gs", "abfs", "oss", "oci", "tos", "memory", "hf")
# What presigned URLs of S3, Google's and Azure's stores are signed by; and what hosts call tokens.
_SECRET = re.compile(
    r"x-(amz|goog|oss)-.*|awsaccesskeyid|googleaccessid|signature|sig|se|sp|sv|sr|st|spr|skoid|"
    r"sktid|skt|ske|sks|skv|expires|key-pair-id|policy|token|access_token|auth|api_?key|key|"
    r"password|secret",
    re.IGNORECASE,
)
_QUOTED = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://[^\s'\"<>]+")
_ESCAPES = re.compile(r"(?:%[0-9A-Fa-f]{2})+")
_ALWAYS_ESCAPED = frozenset(' %?#"<>\\^`{|}')
_WILD = frozenset("*[]")
IGNORED = re.compile("[\t\r\n]")
"""What those who fetch from the web leave out of a URL, wherever it stands."""
_NUMERIC = re.compile(r"(0x[0-9a-f]*|[0-9]+)(\.(0x[0-9a-f]*|[0-9]+)){0,3}")


class Parts(NamedTuple):
    """The parts of a URL, as it was given but for the scheme's case.

    Attributes:
        place: host or bucket, with what else stands before the path.
        path: after that, with its first slash; empty for none.
        query: of a web address, without its ``?``.
    """

    scheme: str
    place: str
    path: str
    query: str


def parts_of(url: str) -> Parts:
    """What follows ``?`` or ``#`` is never a part of the host, to those who fetch it: nobody is
    told of another host than they ask."""
    scheme, _, rest = url.partition("://")
    scheme, query = scheme.lower(), ""
    if scheme in WEB:
        rest, _, query = IGNORED.sub("", rest).partition("#")[0].partition("?")
    place, slash, path = rest.partition("/")
    return Parts(scheme, place, slash + path, query)


def has_host(scheme: str) -> bool:
    """Whether URLs of ``scheme`` have a host, before which a user and a password may stand."""
    return _USUAL.get(scheme, scheme) in _WITH_HOSTS


def shown(url: str) -> str:
    """The name of the place at ``url``."""
    scheme, place, path, query = parts_of(url)
    kept = "&".join(one for one in query.split("&") if one and not _is_secret(one))
    return _without_query(scheme, place, path) + (f"?{kept}" if kept else "")


def names(url: str) -> tuple[str, ...]:
    """All names that rules for the place at ``url`` may be written for: its own, then that without
    a query, which most servers ignore, or without the revision of a repository on a hub."""
    scheme, place, path, _ = parts_of(url)
    name = _without_query(scheme, place, path)
    found = [shown(url), name]
    if scheme == "hf":
        found.append(re.sub(r"\A(hf://[^/]+/[^/@]+)@[^/]*", r"\1", name))
    return tuple(dict.fromkeys(found))


def pattern(text: str) -> str:
    """A pattern for URLs, so spelt that it matches the :func:`names` of what it is for."""
    scheme, _, rest = text.partition("://")
    if scheme.lower() in WEB:
        rest = IGNORED.sub("", rest)
    place, slash, path = rest.partition("/")
    return _without_query(scheme.lower(), place, slash + path, is_pattern=True)


def without_secrets(text: str) -> str:
    """``text`` with each URL in it as it may be :func:`shown`, however it is spelt there."""
    return _QUOTED.sub(lambda found: shown(found[0]), text)


def has_secrets(url: str) -> bool:
    """Whether something stands in ``url`` that is not to be told."""
    scheme, place, _, query = parts_of(url)
    user, at, _ = place.rpartition("@")
    return bool(at and (has_host(scheme) or ":" in user)) or any(map(_is_secret, query.split("&")))


def quotes_secrets(text: str) -> bool:
    """Whether a URL in ``text`` :func:`has_secrets`."""
    return any(has_secrets(found[0]) for found in _QUOTED.finditer(text))


def unescaped(path: str, *, is_pattern: bool = False) -> str:
    """The path of a web address without the escapes that it does not need, and with those it does.

    Args:
        is_pattern: ``*``, ``?`` and ``[`` are wildcards there, but where they are escaped.
    """

    def plain(found: re.Match[str]) -> str:
        try:
            text = bytes.fromhex(found[0].replace("%", "")).decode()
        except UnicodeDecodeError:
            return found[0].upper()
        return "".join(
            f"[{char}]" if is_pattern and char in _WILD else _escaped(char) for char in text
        )

    kept, pieces, at = frozenset("%?" if is_pattern else "%"), [], 0
    for found in _ESCAPES.finditer(path):
        pieces += [_escaped(char, kept) for char in path[at : found.start()]]
        pieces.append(plain(found))
        at = found.end()
    pieces += [_escaped(char, kept) for char in path[at:]]
    return "".join(pieces)


def _escaped(char: str, kept: frozenset[str] = frozenset()) -> str:
    if char in kept or (char.isprintable() and char not in _ALWAYS_ESCAPED):
        return char
    return "".join(f"%{byte:02X}" for byte in char.encode(errors="surrogateescape"))


def _without_query(scheme: str, place: str, path: str, *, is_pattern: bool = False) -> str:
    scheme = _USUAL.get(scheme, scheme)
    user, at, host = place.rpartition("@")
    if has_host(scheme):
        place, path = _host(host, scheme, is_pattern), re.sub("/+", "/", path)
    elif ":" in user:
        place = host
    elif scheme == "abfs":
        place = user + at + (host.lower() if at else host)
    if scheme in WEB:
        path = re.sub("/+", "/", unescaped(path, is_pattern=is_pattern))
    if scheme in _FIRST_NAME_COUNTS and not place:
        place, slash, path = path.lstrip("/").partition("/")
        path = slash + path
    return f"{scheme}://{place}{path.rstrip('/') if place else path}"


def _host(text: str, scheme: str, is_pattern: bool) -> str:
    host, colon, port = text.lower().rpartition(":")
    if not colon or not ((port.isascii() and port.isdecimal()) or not port):
        host, port = text.lower(), ""
    port = port.lstrip("0")
    host = _address(host) if not is_pattern or "[" not in host else _address_in_pattern(host)
    return host + (f":{port}" if port not in ("", _PORTS.get(scheme)) else "")


def _address_in_pattern(host: str) -> str:
    """An address of IPv6 in a pattern is no class of characters."""
    known = _address(host)
    return f"[[]{known[1:]}" if ":" in known and known[:1] == "[" else host.removesuffix(".")


def _address(host: str) -> str:
    """``host`` in its usual form, if it is an address in numbers; else without its last dot."""
    host = host.removesuffix(".")
    if _NUMERIC.fullmatch(host):
        import socket

        try:
            return socket.inet_ntoa(socket.inet_aton(host))
        except OSError:
            return host
    if host[:1] == "[" and host[-1:] == "]":
        import ipaddress

        try:
            address = ipaddress.IPv6Address(host[1:-1])
        except ValueError:
            return host
        return str(address.ipv4_mapped or f"[{address.compressed}]")
    return host


def _is_secret(parameters: str) -> bool:
    # Servers unescape the names, and some take ";" for "&".
    found = (one.partition("=")[0] for one in parameters.split(";"))
    return any(_SECRET.fullmatch(unescaped(name)) for name in found)
