# SPDX-License-Identifier: Apache-2.0
"""A urllib download watched URL by URL, with no change to urllib that others would notice."""

from __future__ import annotations

import contextlib
import copy
import functools
import tempfile
import urllib.request
from collections.abc import Callable
from email.message import Message
from types import FunctionType
from typing import IO, Any
from urllib.error import ContentTooShortError
from urllib.request import BaseHandler, OpenerDirector, Request

from keras_integrity_hook.downloads.rules import Download

Retrieve = Callable[..., Any]
Report = Callable[[int, int, int], object]

# Where functions are defined that do what retrieve() does: Keras 2 has its own.
_REPLACED = {
    "urllib.request",
    "keras.src.utils.data_utils",
    "tf_keras.src.utils.data_utils",
    "tensorflow.python.keras.utils.data_utils",
}
_BLOCK = 8192  # bytes; progress is reported after each, as urllib does


class _Watcher(BaseHandler):
    """Shows every request to a download before a connection is made, redirected ones included."""

    def __init__(self, download: Download) -> None:
        self._download = download

    def https_request(self, request: Request) -> Request:
        self._download.follow(request.full_url, encrypted=True)
        return request

    def http_request(self, request: Request) -> Request:
        self._download.follow(request.full_url, encrypted=False)
        return request

    ftp_request = http_request


def watched_opener(download: Download) -> OpenerDirector:
    """An opener that works as the process's own, installed by the user perhaps, and is watched.

    Each handler is copied, since it sends redirects to the one opener it belongs to; cookies,
    passwords and TLS contexts stay shared.
    """
    # urlopen() looks at no other place, and urllib has no public way to ask.
    installed = getattr(urllib.request, "_opener", None)
    if not isinstance(installed, OpenerDirector):
        opener = urllib.request.build_opener()
    else:
        opener = copy.copy(installed)
        OpenerDirector.__init__(opener)  # of its own: the lists of handlers
        opener.addheaders = list(installed.addheaders)
        for handler in vars(installed)["handlers"]:
            opener.add_handler(copy.copy(handler))
    opener.add_handler(_Watcher(download))
    return opener


def watched(urlretrieve: Retrieve, download: Download) -> Retrieve:
    """What to call in place of ``urlretrieve``, a host's: each URL it leads to is watched.

    A function of somebody else's in its place is still called, and of that only the first URL is
    seen.
    """
    # The type itself: a proxy of another library's wrapper claims to be a function.
    is_replaced = type(urlretrieve) is FunctionType and (
        urlretrieve.__globals__.get("__name__") in _REPLACED
    )
    return functools.partial(_watch if is_replaced else _watch_first, urlretrieve, download)


def _watch(urlretrieve: Retrieve, download: Download, url: str, *args: Any, **kwargs: Any) -> Any:
    if Request(url).type == "file":  # there is no server, and nothing redirects
        return urlretrieve(url, *args, **kwargs)
    return retrieve(download, url, *args, **kwargs)


def _watch_first(
    urlretrieve: Retrieve, download: Download, url: str, *args: Any, **kwargs: Any
) -> Any:
    request = Request(url)
    if request.type not in ("file", "data"):
        download.follow(request.full_url, encrypted=request.type not in ("http", "ftp"))
    return urlretrieve(url, *args, **kwargs)


def retrieve(
    download: Download,
    url: str,
    filename: str | None = None,
    reporthook: Report | None = None,
    data: bytes | None = None,
) -> tuple[str, Message]:
    """``urllib.request.urlretrieve`` with a watched opener. Not for ``file:`` URLs.

    Args:
        download: told of each URL before its server is asked.
        url: what is downloaded.
        filename: where to; None for a temporary file, which ``urlcleanup()`` removes.
        reporthook: called with the number of blocks read so far, the size of a block and that of
            the whole (bytes; -1 if unknown): first with no block, then after each.
        data: the body of a POST request.

    Returns:
        The file's name and the headers of the answer.

    Raises:
        InsecureDownloadError: ``download`` does not admit a URL.
        ContentTooShortError: the connection ended before all was read; the file has what came.
        URLError: the server cannot be reached or answers with an error.
        OSError: the file cannot be written.
    """
    with contextlib.closing(watched_opener(download).open(url, data)) as response:
        headers: Message = response.info()
        size = int(headers.get("Content-Length", -1))
        with _opened(filename) as file:
            result = filename or file.name, headers
            count = _copy(response, file, size, reporthook)
    if count < size:
        message = f"retrieval incomplete: got only {count} out of {size} bytes"
        raise ContentTooShortError(message, result)
    return result


def _opened(filename: str | None) -> IO[bytes]:
    if filename:
        return open(filename, "wb")
    file = tempfile.NamedTemporaryFile(delete=False)  # noqa: SIM115
    # What urlcleanup() goes through.
    getattr(urllib.request, "_url_tempfiles", []).append(file.name)
    return file


def _copy(source: IO[bytes], target: IO[bytes], size: int, report: Report | None) -> int:
    """Copy all that ``source`` has left; the number of bytes."""
    report = report or _report_nothing
    count = blocks = 0
    report(blocks, _BLOCK, size)
    while block := source.read(_BLOCK):
        target.write(block)
        count += len(block)
        blocks += 1
        report(blocks, _BLOCK, size)
    return count


def _report_nothing(blocks: int, block_size: int, size: int) -> None:
    pass
