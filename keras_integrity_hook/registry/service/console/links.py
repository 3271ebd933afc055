# SPDX-License-Identifier: Apache-2.0
"""The addresses of the pages.

Names stand in the query: a path would lose one that is ``..`` or has a slash in it on its way
through browsers and proxies.
"""

from __future__ import annotations

from urllib.parse import urlencode

PAGES = (("Models", "/"), ("Timeline", "/events"), ("Recalls", "/recalls"), ("Roles", "/roles"))
"""Those that every page leads to."""


def to(path: str, **query: str | int) -> str:
    """The address of a page."""
    return f"{path}?{urlencode(query)}" if query else path


def model(name: str) -> str:
    """A model."""
    return to("/model", name=name)


def version(model_name: str, number: str) -> str:
    """A version of a model."""
    return to("/version", model=model_name, version=number)


def content(digest: str) -> str:
    """A content, by any of its digests."""
    return to("/content", digest=digest)


def event(position: int) -> str:
    """An event, by its position in the log."""
    return f"/events/{position}"
