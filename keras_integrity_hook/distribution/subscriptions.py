# SPDX-License-Identifier: Apache-2.0
"""Whom a machine and its user pull from, and how current that is; python-tuf is not asked."""

from __future__ import annotations

import hashlib
import json
import os
from datetime import UTC, datetime
from typing import NamedTuple

from keras_integrity_hook.distribution import places
from keras_integrity_hook.distribution.addresses import checked_url
from keras_integrity_hook.distribution.places import Place
from keras_integrity_hook.errors import ConfigurationError
from keras_integrity_hook.limits import LIMITS
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
    path = place.file("source.toml")
    text = place.read(path, LIMITS.policy)
    root = place.read(place.file("root.json"), LIMITS.published)
    if text is None or root is None:
        return None
    url = toml_file.loads(text, path)[1].get("url")
    if not isinstance(url, str):
        raise ConfigurationError("lacks 'url'", path=path)
    return Source(checked_url(url), root)


def metadata_of(place: Place, source: Source) -> str:
    """The directory of what is known of a publisher; what is known of another is no use."""
    return place.file(os.path.join("metadata", hashlib.sha256(source.root).hexdigest()[:16]))


def present() -> list[Subscription]:
    """Those of the machine and of the user that there are; raises as :func:`installed`."""
    found = []
    for place in (places.of_machine(), places.of_user()):
        source = installed(place)
        if source is not None:
            found.append(Subscription(place, source.url, _current_until(place, source)))
    return found


def _current_until(place: Place, source: Source) -> datetime | None:
    """When the timestamp that was checked last expires: it is the first that has to be renewed."""
    path = os.path.join(metadata_of(place, source), "timestamp.json")
    data = place.read(path, LIMITS.published)
    try:
        said = json.loads(data or b"{}")["signed"]["expires"]
        return datetime.strptime(said, "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC)
    except (ValueError, KeyError, TypeError, RecursionError):
        return None
