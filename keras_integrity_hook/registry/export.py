# SPDX-License-Identifier: Apache-2.0
"""Write a registry as files that any web server serves: see ``mirrors`` for what there is.

What is there stays readable while the new is written, and whoever reads a file that is replaced
gets a whole one. A mirror remembers: only the log that it is of can continue it.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import shutil
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import NamedTuple, Protocol

from keras_integrity_hook.errors import LimitExceededError, MalformedEventError, RegistryError
from keras_integrity_hook.files import atomic, portable
from keras_integrity_hook.files.portable import system
from keras_integrity_hook.limits import LIMITS
from keras_integrity_hook.registry import answers, forks, merkle, mirrors, notes, tiles, verdicts
from keras_integrity_hook.registry.answers import EVERY, EVERY_KEY, Answer, Freshness
from keras_integrity_hook.registry.merkle import Node
from keras_integrity_hook.registry.mirrors import CHECKPOINT, HOME, POINTER, Pointer
from keras_integrity_hook.registry.tiles import Tile
from keras_integrity_hook.registry.verdicts import Question
from keras_integrity_hook.sealing.statement import spelled
from keras_integrity_hook.signing.signers import SigningKey

_DIGESTS = 16  # that one answer is about, on average
_PAGE = 1000
_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | portable.O_CLOEXEC
_REMEDY = "Check the directory, its permissions and free space; what was there before is as it was."


class Source(Protocol):
    """A registry at one moment, whatever is appended to it meanwhile."""

    def checkpoint(self) -> bytes:
        """The checkpoint of the moment, a signed note."""

    def entries(self, start: int, end: int) -> Sequence[bytes]:
        """Entries of the log."""

    def nodes(self, wanted: Sequence[Node]) -> Sequence[bytes]:
        """Hashes of its tree: a ``merkle.Read``."""

    def registry_id(self) -> str:
        """The id of the registry."""

    def digests(self, *, after: str = "", limit: int = _PAGE) -> list[str]:
        """Digests, hex and sorted, of which there is something to tell."""

    def answer(self, digests: Sequence[str], *, keys: Sequence[str] = ()) -> Answer:
        """What the registry says of them, without freshness."""


class Exported(NamedTuple):
    """What was written.

    Attributes:
        size: entries of the log.
        added: those that were new to the mirror.
        digests: those that there is something to tell about.
        answers: files of answers.
        until: when the answers end to be believed, UTC, as seals spell a time.
    """

    size: int
    added: int
    digests: int
    answers: int
    until: str


def export(
    source: Source, directory: str, key: SigningKey, now: datetime, until: datetime
) -> Exported:
    """Bring the mirror in ``directory`` up to date, or make one there.

    Args:
        key: of a service of the registry; it signs the freshness of the answers.
        now, until: aware: from when until when the answers are to be believed.

    Raises:
        RegistryForkError: the mirror is of another log, or of a longer one.
        RegistryError: it cannot be written, ``source`` is not of one moment, or clients would not
            believe it: ``key`` is of no service, or of one that has expired.
        SigningError: the key is not an Ed25519 key, or does not sign.
    """
    try:
        return _exported(source, directory, key, (now, until))
    except OSError as error:
        cause = f"the mirror cannot be written ({error.strerror})"
        raise RegistryError(cause, path=error.filename or directory, remedy=_REMEDY) from error


def _exported(
    source: Source, directory: str, key: SigningKey, times: tuple[datetime, datetime]
) -> Exported:
    note = source.checkpoint()
    checkpoint = notes.unverified_checkpoint(note)
    said = answers.freshness(checkpoint.origin, source.registry_id(), *times)
    until = _believed_until(answers.fresh(source.answer(()), said, key), said, times[0])
    since = _size_before(source, directory, note)
    for tile in tiles.tiles_of(checkpoint.size, since):
        _replace(os.path.join(directory, HOME, tile.path), _content(source, tile))
    before = _pointer_before(directory)
    count = sum(1 for _ in _digests(source))
    pointer = Pointer(_new_moment(directory, checkpoint.size, times[0]), _digits(count))
    for prefix, digests in _by_prefix(source, pointer.digits):
        answer = answers.fresh(_answer(source, digests, prefix, note), said, key)
        _write_new(os.path.join(directory, pointer.path(prefix)), _encoded(answer, prefix))
    portable.sync()  # The pointer must not outlive, in a crash, what it points to.
    _replace(os.path.join(directory, CHECKPOINT), note)
    _replace(os.path.join(directory, POINTER), mirrors.spelled(pointer))
    _forget(directory, {pointer, before})
    added = checkpoint.size - since
    return Exported(checkpoint.size, added, count, 16**pointer.digits, spelled(until))


def _size_before(source: Source, directory: str, note: bytes) -> int:
    """The size of the log that the mirror has; raises RegistryForkError where it is another."""
    seen = mirrors.in_directory(directory)(CHECKPOINT, LIMITS.registry_note)
    if seen is None:
        return 0
    had, has = (notes.unverified_checkpoint(one).size for one in (seen, note))
    proof = merkle.consistency_proof(had, has, source.nodes) if had < has else ()
    forks.refuse_fork(seen, note, proof)
    return had


def _pointer_before(directory: str) -> Pointer | None:
    data = mirrors.in_directory(directory)(POINTER, LIMITS.registry_note)
    return mirrors.pointer(data) if data is not None else None


def _new_moment(directory: str, size: int, now: datetime) -> str:
    """The name of a new directory for answers, which it makes: no two exports share one, even if
    they are of one second."""
    os.makedirs(os.path.join(directory, mirrors.ANSWERS), exist_ok=True)
    for seconds in itertools.count():
        at = now.astimezone(UTC) + timedelta(seconds=seconds)
        moment = f"{size}-{at:%Y%m%dT%H%M%SZ}"
        with contextlib.suppress(FileExistsError):
            os.mkdir(os.path.join(directory, mirrors.ANSWERS, moment))
            return moment
    raise AssertionError("time does not end")


def _content(source: Source, tile: Tile) -> bytes:
    if tile.is_bundle:
        return tiles.encode_bundle(source.entries(*tile.leaves))
    return b"".join(source.nodes(tile.nodes))


def _digits(count: int) -> int:
    """Of digests, by which answers about ``count`` of them are told apart."""
    return next(digits for digits in itertools.count() if count <= _DIGESTS * 16**digits)


def _by_prefix(source: Source, digits: int) -> Iterator[tuple[str, list[str]]]:
    """Every prefix of so many digits, with the digests that begin so; mostly none, or a few."""
    groups = itertools.groupby(_digests(source), lambda digest: digest[:digits])
    known, digests = next(groups, ("", iter(())))
    for prefix in map("".join, itertools.product("0123456789abcdef", repeat=digits)):
        if prefix != known:
            yield prefix, []
            continue
        yield prefix, list(digests)
        known, digests = next(groups, ("", iter(())))


def _digests(source: Source) -> Iterator[str]:
    page = source.digests(limit=_PAGE)
    while page:
        yield from page
        page = source.digests(after=page[-1], limit=_PAGE)


def _answer(source: Source, digests: Sequence[str], prefix: str, note: bytes) -> Answer:
    """The answer about everything that begins with ``prefix``, which is ``digests``."""
    answer = source.answer(digests, keys=(EVERY_KEY,))
    if answer.checkpoint != note:
        raise RegistryError("the registry changed while it was exported", remedy="Export it again.")
    return answer._replace(digests=(prefix + EVERY,))


def _believed_until(answer: Answer, said: Freshness, now: datetime) -> datetime:
    """Until when a client would believe ``answer``; raises RegistryError where none would."""
    try:
        verdict = verdicts.verify(answer, Question(said.registry_id, ()), now)
    except MalformedEventError as error:
        raise RegistryError(
            f"nobody would believe this mirror: {error.cause}",
            remedy="Sign it with the key of a service that is in the roles and has not expired.",
        ) from error
    assert verdict.good_until is not None, "an answer with a freshness has an end"
    return verdict.good_until


def _encoded(answer: Answer, prefix: str) -> bytes:
    data = answers.encode(answer)
    if len(data) > LIMITS.registry_answer or len(answer.events) > LIMITS.registry_events:
        raise LimitExceededError(
            f"the answer about digests that begin with '{prefix}' would be of {len(data)} bytes "
            f"and {len(answer.events)} events",
            remedy="A mirror is no way to publish this registry: let clients ask its service.",
        )
    return data


def _replace(path: str, data: bytes) -> None:
    """Put a file in its place, as a whole."""
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with atomic.open_target(path) as target, atomic.private_file(target) as made:
        made.take_final_name()
        with open(made.create(0o666), "wb") as file:
            file.write(data)
        made.put_in_place()


def _write_new(path: str, data: bytes) -> None:
    """Write a file that nobody looks for yet."""
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(system.open(path, _NEW, 0o666), "wb") as file:
        file.write(data)
        if not portable.has_sync():
            file.flush()
            os.fsync(file.fileno())


def _forget(directory: str, kept: set[Pointer | None]) -> None:
    """Remove answers that are no longer pointed to, but for the last ones: somebody may be about to
    read them."""
    home = os.path.join(directory, mirrors.ANSWERS)
    moments = {pointer.moment for pointer in kept if pointer is not None}
    for name in os.listdir(home):
        if name not in moments:
            shutil.rmtree(os.path.join(home, name), ignore_errors=True)
