# SPDX-License-Identifier: Apache-2.0
"""Stores as fsspec reads and writes them, where there is no TensorFlow that knows the scheme."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

from keras_integrity_hook import texts
from keras_integrity_hook.errors import RemoteError, RemoteUnavailableError, UnknownSchemeError
from keras_integrity_hook.files import portable
from keras_integrity_hook.files.url_names import WEB
from keras_integrity_hook.limits import KIB, MIB
from keras_integrity_hook.remote import urls
from keras_integrity_hook.remote.store import OBJECT_STORES, Entry, Parts, Reader

_BRINGS = {
    **dict.fromkeys(("s3", "s3a"), "s3fs"),
    **dict.fromkeys(("gs", "gcs"), "gcsfs"),
    **dict.fromkeys(("az", "abfs", "abfss", "adl"), "adlfs"),
    **dict.fromkeys(("http", "https"), "aiohttp"),
    **dict.fromkeys(("ssh", "sftp"), "paramiko"),
    **dict.fromkeys(("hdfs", "arrow_hdfs"), "pyarrow"),
    **dict.fromkeys(("oci", "ocilake"), "ocifs"),
    "hf": "huggingface_hub",
    "smb": "smbprotocol",
    "oss": "ossfs",
    "webhdfs": "requests",
    "ram": "tensorflow",
}
"""The package that brings a scheme."""
# What stores call the version of an object, the most telling first.
_VERSIONS = ("ETag", "etag", "generation", "VersionId", "version_id", "md5Hash", "content_md5")
_TIMES = ("LastModified", "last_modified", "mtime", "updated", "modified", "created")
_ON_NETWORKS = Parts(8 * MIB, 4)  # each read is a request
_ABSENT = (404, 410)
_FORBIDDEN = (401, 403)
_SILENCE = 60.0
"""Seconds after which a web server that says nothing is given up."""


def store_of(url: str, scheme: str) -> FsspecStore:
    """The store of ``url``, with the credentials that fsspec finds.

    Unlike ``fsspec.core.url_to_fs`` this knows no chained URLs (``zip://a::s3://…``): a text is
    one place in one store.

    Raises:
        UnknownSchemeError: neither fsspec nor a package that it would use knows the scheme.
    """
    try:
        import fsspec
    except ImportError as error:
        raise UnknownSchemeError(
            "nothing that is installed reads URLs",
            path=urls.shown(url),
            remedy=texts.extra("remote", "fsspec", *filter(None, [_BRINGS.get(scheme)])),
        ) from error
    try:
        kind = fsspec.get_filesystem_class(scheme)
    except ImportError as error:
        package = _BRINGS.get(scheme, "the package that fsspec names for it")
        raise UnknownSchemeError(
            f"'{scheme}://' is read by a package that is not installed ({error})",
            path=urls.shown(url),
            remedy=f"Install {package}, or copy the model to a local path.",
        ) from error
    except ValueError as error:
        raise UnknownSchemeError(
            f"nothing that is installed knows '{scheme}://'", path=urls.shown(url)
        ) from error
    options = kind._get_kwargs_from_urls(_spelt(url))
    if scheme in WEB:
        options |= _of_web(url)
    # A listing that is kept would hide what has changed, and grow without end.
    return FsspecStore(kind(**options, use_listings_cache=False), scheme)


def _spelt(url: str) -> str:
    """``url`` with its scheme in lower case: fsspec would take another for a part of the path."""
    scheme, separator, rest = url.partition("://")
    return scheme.lower() + separator + rest


def _of_web(url: str) -> dict[str, Any]:
    """How a web server is asked, how long it is waited for, and where it may send us: aiohttp's own
    limit ends every download that takes longer than five minutes."""
    from aiohttp import ClientTimeout
    from yarl import URL

    from keras_integrity_hook.remote import redirects

    patience = ClientTimeout(total=None, sock_connect=_SILENCE, sock_read=_SILENCE)
    client = redirects.client_for(URL(url).host or "")
    return {"client_kwargs": {"timeout": patience}, "get_client": client}


class _Reader:
    def __init__(self, file: Any) -> None:
        self._file = file

    def read(self, offset: int, length: int) -> bytes:
        if isinstance(self._file, io.BytesIO):  # of memory://: all readers share one position
            return bytes(self._file.getbuffer()[offset : offset + length])
        self._file.seek(offset)
        return bytes(self._file.read(length))

    def close(self) -> None:
        if not isinstance(self._file, io.BytesIO):
            self._file.close()


class _ObjectReader:
    """Parts of an object, each in one request: a file of fsspec's asks for what is known first."""

    def __init__(self, files: Any, path: str) -> None:
        self._files, self._path = files, path

    def read(self, offset: int, length: int) -> bytes:
        if not length:
            return b""
        return bytes(self._files.cat_file(self._path, start=offset, end=offset + length))

    def close(self) -> None:
        pass  # connections are the store's


class _WebReader:
    """Parts of a file on a web server. No more of an answer is read than was asked for, whatever
    the server sends: fsspec reads all of it."""

    def __init__(self, files: Any, url: str) -> None:
        self._files, self._url = files, url

    def read(self, offset: int, length: int) -> bytes:
        if not length:
            return b""
        headers = {"Range": f"bytes={offset}-{offset + length - 1}", "Accept-Encoding": "identity"}
        # With a size it is not asked for again.
        with self._files.open(self._url, "rb", block_size=0, size=1, headers=headers) as file:
            if not _is_part(file.r, offset):
                raise io.UnsupportedOperation("the server does not answer requests for parts")
            data = b""
            while len(data) < length and (more := file.read(length - len(data))):
                data += more
        return data

    def close(self) -> None:
        pass  # each request has a connection of its own, or that of the one before


def _is_part(answer: Any, offset: int) -> bool:
    """Whether the answer begins at ``offset``. What is not there is empty, and no error."""
    if answer.status == 206:
        return str(answer.headers.get("Content-Range", "")).startswith(f"bytes {offset}-")
    return not offset


def _tell_why(error: FileNotFoundError) -> None:
    """Raise what is behind ``error``, which is fsspec's word for whatever a web server, or the way
    to it, lacks. Nothing is absent unless a server says so."""
    cause = error.__cause__
    status = getattr(cause, "status", None)
    if cause is None or status in _ABSENT:
        return
    if status in _FORBIDDEN:
        raise PermissionError(f"the server answers {cause}") from cause
    raise cause


class FsspecStore:
    """See :class:`store.Store`."""

    def __init__(self, file_system: Any, scheme: str) -> None:
        self._files = file_system
        self._scheme = scheme

    def stat(self, url: str) -> Entry:
        try:
            return self._entry(url, self._files.info(self._path(url)))
        except FileNotFoundError as error:
            if self._scheme in WEB:
                _tell_why(error)
            raise

    def open(self, url: str) -> Reader:
        if self._scheme in WEB:
            return _WebReader(self._files, self._path(url))
        if self._scheme in OBJECT_STORES:
            return _ObjectReader(self._files, self._path(url))
        # Reads at one place say nothing of the next: what is fetched ahead is fetched for nothing.
        return _Reader(self._files.open(self._path(url), "rb", cache_type="none"))

    def stream(self, url: str, piece: int) -> Iterator[bytes]:
        if self._scheme in WEB:  # in one request: not every server has ranges
            with self._files.open(self._path(url), "rb", block_size=0) as file:
                while data := file.read(piece):
                    yield data
            return
        reader, offset = self.open(url), 0
        try:
            while data := reader.read(offset, piece):
                yield data
                offset += len(data)
        finally:
            reader.close()

    def parts(self, url: str) -> Parts | None:
        if self._scheme == "memory":
            return Parts(256 * KIB, portable.cores())
        return _ON_NETWORKS if self._scheme in OBJECT_STORES | {"hf"} else None

    def listing(self, url: str) -> Iterator[Entry]:
        path = self._path(url)
        for info in self._files.ls(path, detail=True):
            there = str(info["name"])
            name = there.rstrip("/").rpartition("/")[2]
            # Some stores keep an object in the place of a directory, and list it among its files.
            is_itself = there.strip("/") == path.strip("/")
            if name and not is_itself:
                yield self._entry(urls.below(url, name), info)

    def put(self, local: str, url: str, *, at_once: bool = False) -> None:
        self._refuse_read_only(url)
        self._files.put_file(local, self._path(url))

    def move(self, source: str, destination: str) -> None:
        self._files.mv(self._path(source), self._path(destination))

    def remove(self, url: str) -> None:
        self._files.rm_file(self._path(url))

    def make_directory(self, url: str) -> None:
        # Object stores have none, and some of fsspec's would make the bucket: one that was mistyped
        # is to be an error.
        if self._scheme not in OBJECT_STORES:
            self._files.makedirs(self._path(url), exist_ok=True)

    def _refuse_read_only(self, url: str) -> None:
        if self._scheme in WEB:
            raise RemoteError(
                "a web address can be read and not written",
                path=urls.shown(url),
                remedy="Save to a local path or to a store, and publish the file from there.",
            )

    def _path(self, url: str) -> str:
        return str(self._files._strip_protocol(_spelt(url)))

    def _entry(self, url: str, info: Mapping[str, Any]) -> Entry:
        if info.get("type") == "directory":
            return Entry(url, 0, "", True)
        size = info.get("size")
        if size is None:
            raise RemoteUnavailableError(
                "the server does not say how large it is", path=urls.shown(url)
            )
        return Entry(url, int(size), _version(info), False, _modified(info))


def _modified(info: Mapping[str, Any]) -> float:
    """When it was written, as stores say it: a date, its text (ISO 8601), or seconds."""
    for value in filter(None, map(info.get, _TIMES)):
        with contextlib.suppress(ValueError, OverflowError):
            if isinstance(value, int | float):
                return float(value)
            when = value if isinstance(value, datetime) else datetime.fromisoformat(str(value))
            return (when if when.tzinfo else when.replace(tzinfo=UTC)).timestamp()
    return 0.0


def _version(info: Mapping[str, Any]) -> str:
    for name in _VERSIONS:
        if info.get(name):
            return str(info[name]).strip('"')
    for name in _TIMES:
        if info.get(name):
            return f"{info.get('size')}-{info[name]}"
    return ""
