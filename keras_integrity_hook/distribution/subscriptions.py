# SPDX-License-Identifier: Apache-2.0
"""Whom a machine and its user pull from, and how current that is; python-tuf is not asked."""

from __future__ import annotations

import hashlib
import json
import os
from datetime import datetime
from typing import NamedTuple

from keras_integrity_hook.distribution import places
from keras_integrity_hook.distribution.addresses import checked_url
from keras_integrity_hook.distribution.places import Place
from keras_integrity_hook.errors import ConfigurationError
from keras_integrity_hook.limits import LIMITS
from keras_integrity_hook.sealing import statement
from keras_integrity_hook.settings import toml_file


class Source(NamedTuple):
    """Whom to believe, and where to ask.

    Attributes:
        url: with a slash at its end.
        root: the initial root of TUF, as its bytes.
    """

    url: str
    root: bytes


class Subscription(NamedTuple):
    """What is pulled to a place.

    Attributes:
        current_until: until when the publisher said that what was pulled is the newest; None where
            that is not known.
    """

    place: Place
    url: str
    current_until: datetime | None

    def is_behind(self, at: datetime) -> bool:
        """Whether there should have been something newer by ``at``."""
        return self.current_until is not None and at > self.current_until


def installed(place: Place) -> Source | None:
    """Where ``place`` is pulled from so far, None where it never was.

    Raises:
        ConfigurationError, InsecurePermissionsError: a file of it cannot be relied on.
    """
    told = _told(place)
    root = place.read(place.file("root.json"), LIMITS.published)
    return None if told is None or root is None else Source(told[0], root)


def present() -> list[Subscription]:
    """Those of the machine and of the user that there are; raises as :func:`installed`."""
    asked = [(place, _told(place)) for place in (places.of_machine(), places.of_user())]
    return [Subscription(place, *told) for place, told in asked if told is not None]


def spelled(url: str, current_until: datetime) -> bytes:
    """The file that says from where a place is pulled."""
    return (
        "# Written by 'keras-integrity trust pull'.\n"
        f"url = {json.dumps(url)}\n"
        f"current_until = {statement.spelled(current_until)}\n"
    ).encode()


def metadata_of(place: Place, source: Source) -> str:
    """The directory of what is known of a publisher; what is known of another is no use."""
    return place.file(os.path.join("metadata", hashlib.sha256(source.root).hexdigest()[:16]))


def _told(place: Place) -> tuple[str, datetime | None] | None:
    """The address, and until when what was pulled from there is current."""
    path = place.file("source.toml")
    text = place.read(path, LIMITS.policy)
    if text is None:
        return None
    said = toml_file.loads(text, path)[1]
    url, until = said.get("url"), said.get("current_until")
    if not isinstance(url, str):
        raise ConfigurationError("lacks 'url'", path=path)
    is_moment = isinstance(until, datetime) and until.tzinfo is not None
    return checked_url(url), until if is_moment else None
