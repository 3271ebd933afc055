# SPDX-License-Identifier: Apache-2.0
"""How files of a publisher are fetched: from the web or from a directory, in bounded time.

python-tuf bounds the bytes and believes nothing of them. Its own fetcher bounds the time between
two pieces only, so that a server can keep a machine waiting for days, a byte every now and then.
"""

from __future__ import annotations

import http.client
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from typing import IO

from tuf.api.exceptions import DownloadError, DownloadHTTPError, SlowRetrievalError
from tuf.ngclient import FetcherInterface

from keras_integrity_hook._version import __version__
from keras_integrity_hook.errors import RegistryUnavailableError
from keras_integrity_hook.limits import KIB, LIMITS
from keras_integrity_hook.registry.client import deadline

_SILENCE = 10  # seconds in which a server has to say something
_PIECE = 64 * KIB
_NOT_FOUND = 404  # what python-tuf takes for "there is no newer root"


class Fetcher(FetcherInterface):
    """Of ``https``, ``http`` and ``file`` addresses, one after the other.

    python-tuf leaves an answer that is too long as it is; :meth:`close` ends the connection.
    """

    def __init__(self) -> None:
        self._answer: IO[bytes] | None = None

    def close(self) -> None:
        """End the latest answer."""
        if self._answer is not None:
            self._answer.close()

    def _fetch(self, url: str) -> Iterator[bytes]:
        self.close()
        is_file = urllib.parse.urlsplit(url).scheme == "file"
        self._answer = _opened_file(url) if is_file else _opened_in_time(url)
        return _pieces(self._answer, url)


def _opened_in_time(url: str) -> IO[bytes]:
    """An answer whose head has come. That, too, can be sent a byte every now and then, or after
    interim answers without end."""
    try:
        return deadline.within(LIMITS.pull_seconds, lambda: _opened(url))
    except RegistryUnavailableError as error:
        raise SlowRetrievalError(f"{url}: over {LIMITS.pull_seconds} seconds") from error


def _opened(url: str) -> IO[bytes]:
    agent = {"User-Agent": f"keras-integrity-hook/{__version__}"}
    try:
        answer: IO[bytes] = urllib.request.urlopen(
            urllib.request.Request(url, headers=agent), timeout=_SILENCE
        )
    except urllib.error.HTTPError as error:
        error.close()
        raise DownloadHTTPError(f"{url}: status {error.code}", error.code) from None
    except urllib.error.URLError as error:
        reason = error.reason
        why = getattr(reason, "strerror", None) or reason
        raise DownloadError(f"{url}: {why}") from None
    return answer


def _opened_file(url: str) -> IO[bytes]:
    path = urllib.request.url2pathname(urllib.parse.urlsplit(url).path)
    try:
        return open(path, "rb")
    except (FileNotFoundError, NotADirectoryError):
        raise DownloadHTTPError(f"{url}: there is no such file", _NOT_FOUND) from None


def _pieces(answer: IO[bytes], url: str) -> Iterator[bytes]:
    """What is read, a piece at a time; whoever reads on knows how much is enough."""
    end = time.monotonic() + LIMITS.pull_seconds
    # read1: one call of the system at a time, so that the clock is looked at between them.
    read = getattr(answer, "read1", answer.read)
    try:
        with answer:
            while piece := read(_PIECE):
                yield piece
                if time.monotonic() > end:
                    raise SlowRetrievalError(f"{url}: over {LIMITS.pull_seconds} seconds")
    except (OSError, http.client.HTTPException) as error:
        raise DownloadError(f"{url}: {error}") from error
