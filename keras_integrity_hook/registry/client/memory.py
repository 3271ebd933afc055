# SPDX-License-Identifier: Apache-2.0
"""What processes of a user remember of a registry, for each other: its last checkpoint, its
answers, and that it is silent.

The files are the user's own (``files.kept``). An answer is kept as it was given, and verified again
by whoever reads it; what makes it good for less long than that is when it was given.
"""

from __future__ import annotations

import hashlib
import os
from datetime import UTC, datetime
from typing import Any, NamedTuple

from keras_integrity_hook.errors import IntegrityError
from keras_integrity_hook.files import kept
from keras_integrity_hook.limits import LIMITS
from keras_integrity_hook.sealing import canonical
from keras_integrity_hook.sealing.statement import moment, spelled


class Asked(NamedTuple):
    """What was asked, and whom.

    Attributes:
        url: as the settings have it.
        registry_id: of the registry that has to be there.
        digests: of contents, hex.
        keys: key ids, hex.
    """

    url: str
    registry_id: str
    digests: tuple[str, ...]
    keys: tuple[str, ...] = ()


class Given(NamedTuple):
    """Answers as they were given, encoded, and when; several, of a mirror."""

    at: datetime
    answers: tuple[bytes, ...]


class Seen(NamedTuple):
    """What was last seen of a registry behind one URL.

    Attributes:
        note: its signed checkpoint.
        at: when that was so, by what the registry signed or the database showed.
    """

    note: bytes = b""
    at: datetime = datetime.min.replace(tzinfo=UTC)


def given(asked: Asked) -> Given | None:
    """What was answered the last time, unless it is not known any more."""
    said = _read(_path_of_answer(asked))
    try:
        if said is None or said["asked"] != _plain(asked):
            return None
        return Given(moment(said["at"]), tuple(one.encode() for one in said["answers"]))
    except (KeyError, TypeError, ValueError, AttributeError):
        return None


def keep(asked: Asked, given: Given) -> None:
    """Keep what was answered."""
    answers = [one.decode() for one in given.answers]
    said = {"asked": _plain(asked), "at": spelled(given.at), "answers": answers}
    _write(_path_of_answer(asked), said)


def seen(asked: Asked) -> Seen:
    """What was last seen of the registry that is asked."""
    said = _read(_path("seen", asked))
    try:
        return Seen() if said is None else Seen(said["note"].encode(), moment(said["at"]))
    except (KeyError, TypeError, ValueError, AttributeError):
        return Seen()


def keep_seen(asked: Asked, seen: Seen) -> None:
    """Remember what is seen of it now."""
    said = {"note": seen.note.decode(), "at": spelled(seen.at)}
    _write(_path("seen", asked), said)


def silence(asked: Asked) -> tuple[datetime, str] | None:
    """Since when the registry does not answer, and what it did instead; None where it answers."""
    said = _read(_path("silent", asked))
    try:
        return None if not said else (moment(said["at"]), str(said["cause"]))
    except (KeyError, TypeError, ValueError):
        return None


def keep_silence(asked: Asked, at: datetime, cause: str) -> None:
    """Remember that it did not answer."""
    _write(_path("silent", asked), {"at": spelled(at), "cause": cause})


def forget_silence(asked: Asked) -> None:
    """It has answered."""
    try:
        os.unlink(_path("silent", asked))
    except OSError:
        return


def directory(registry_id: str) -> str:
    """Where all that is remembered of one registry lies."""
    return os.path.join(kept.state_directory(), "registry", registry_id)


def _path(what: str, asked: Asked) -> str:
    name = hashlib.sha256(asked.url.encode()).hexdigest()[:32]
    return os.path.join(directory(asked.registry_id), what, name)


def _path_of_answer(asked: Asked) -> str:
    name = hashlib.sha256(canonical.encode(_plain(asked))).hexdigest()
    return os.path.join(directory(asked.registry_id), "answers", name[:2], name[2:])


def _plain(asked: Asked) -> dict[str, Any]:
    return {name: _listed(value) for name, value in asked._asdict().items()}


def _listed(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value


def _read(path: str) -> dict[str, Any] | None:
    data = kept.read(path, 2 * LIMITS.registry_answer)
    try:
        said = None if data is None else canonical.decode(data)
    except IntegrityError:
        return None
    return said if isinstance(said, dict) else None


def _write(path: str, said: dict[str, Any]) -> None:
    kept.write(path, canonical.encode(said), at_most=LIMITS.registry_kept)
