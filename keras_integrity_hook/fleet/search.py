# SPDX-License-Identifier: Apache-2.0
"""From what a person names to the models of an audit, on a disk or in a store."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from keras_integrity_hook.errors import UnreadableFileError
from keras_integrity_hook.files import location
from keras_integrity_hook.fleet import discovery, targets
from keras_integrity_hook.fleet.discovery import Role
from keras_integrity_hook.fleet.targets import Target

_NOT_EXAMINED = (Role.LINKED_DIRECTORY, Role.PASSED_OVER)


def find(locations: Iterable[str], *, to_change: bool) -> Iterator[Target]:
    """The models at and below ``locations``; what cannot be searched is a target with an error.

    Args:
        to_change: as of :func:`discovery.model_files`.
    """
    for text in locations:
        try:
            yield from _at(text, to_change=to_change)
        except Exception as error:  # the other locations are searched all the same
            cause = f"it cannot be searched any further ({targets.told(error)})"
            yield Target(text, error=UnreadableFileError(cause, path=text))


def _at(text: str, *, to_change: bool) -> Iterator[Target]:
    if targets.is_remote(text):
        from keras_integrity_hook.fleet import store_discovery  # where a store is searched

        yield from store_discovery.models_below(text)
    else:
        local = location.of(text, location.TENSORFLOW)
        yield from _local(local.path, to_change=to_change)


def _local(path: str, *, to_change: bool) -> Iterator[Target]:
    for found in discovery.model_files([path], to_change=to_change):
        if found.error is not None:
            yield Target(found.path, error=found.error)
        elif found.role in _NOT_EXAMINED or (to_change and found.role is not Role.MODEL):
            continue
        else:
            size, version = targets.stored_at(found.path)
            place = found.place if to_change else ""
            yield Target(found.path, size, version, place=place)
