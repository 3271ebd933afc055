# SPDX-License-Identifier: Apache-2.0
"""A urllib download watched URL by URL, with no change to urllib that others would notice."""

from __future__ import annotations

import copy
import urllib.request
from collections.abc import Callable
from types import FunctionType
from typing import Any
from urllib.request import BaseHandler, OpenerDirector, Request

from keras_integrity_hook.downloads.rules import Download


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


def watched(retrieve: Callable[..., Any], download: Download) -> Callable[..., Any]:
    """``urllib.request.urlretrieve``, given as ``retrieve``, with a watched opener.

    The same code with another ``urlopen`` in its namespace: copying files, progress and errors
    stay those of this Python. Of a stand-in that calls no ``urlopen`` only the first URL is seen.
    """
    if not isinstance(retrieve, FunctionType) or "urlopen" not in retrieve.__code__.co_names:
        return _first_url_watched(retrieve, download)
    namespace = {**retrieve.__globals__, "urlopen": watched_opener(download).open}
    return FunctionType(retrieve.__code__, namespace, retrieve.__name__, retrieve.__defaults__)


def _first_url_watched(retrieve: Callable[..., Any], download: Download) -> Callable[..., Any]:
    def watching(url: str, *args: Any, **kwargs: Any) -> Any:
        request = Request(url)
        if request.type not in ("file", "data"):
            download.follow(request.full_url, encrypted=request.type not in ("http", "ftp"))
        return retrieve(url, *args, **kwargs)

    return watching
