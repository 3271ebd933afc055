# SPDX-License-Identifier: Apache-2.0
"""A registry as files: what ``registry export`` writes, in a directory or behind a web server."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple
from urllib.parse import unquote, urlsplit

from keras_integrity_hook.errors import RegistryError, RegistryUnavailableError, UnreadableFileError
from keras_integrity_hook.files import reading
from keras_integrity_hook.limits import LIMITS
from keras_integrity_hook.registry import answers, merkle, tiles
from keras_integrity_hook.registry.answers import Answer
from keras_integrity_hook.registry.client.memory import Asked
from keras_integrity_hook.registry.signed import SignedEvent
from keras_integrity_hook.registry.tiles import Tile

Read = Callable[[str, int], bytes | None]
"""The bytes of a file of a mirror by its path, at most so many; None where there is none. Raises
RegistryUnavailableError."""


class Files(NamedTuple):
    """The files of a mirror, wherever they are."""

    read: Read

    def answers(self, asked: Asked) -> list[Answer]:
        """One for each digest."""
        return [self._answer(digest) for digest in asked.digests]

    def consistency(self, old: int, new: int) -> tuple[bytes, ...]:
        """The proof that the log with ``new`` entries continues that with ``old``."""
        return merkle.consistency_proof(old, new, tiles.reader(new, self._tiles))

    def _answer(self, digest: str) -> Answer:
        data = self.read(f"v1/digests/{digest}", LIMITS.registry_answer)
        if data is None:
            raise RegistryUnavailableError(f"the mirror has no answer about {digest}")
        return answers.decode(data)

    def _tiles(self, wanted: Sequence[Tile]) -> list[bytes]:
        return [self._tile(tile) for tile in wanted]

    def _tile(self, tile: Tile) -> bytes:
        data = self.read(f"v1/{tile.path}", tile.width * merkle.HASH_SIZE)
        if data is None:
            raise RegistryUnavailableError(f"the mirror has no {tile.path}")
        return data


class Mirror(NamedTuple):
    """A mirror in a directory, which a ``file:`` URL names."""

    url: str

    @property
    def needs_freshness(self) -> bool:
        return True

    def answers(self, asked: Asked, since: int) -> Sequence[Answer]:
        return Files(self._read).answers(asked)

    def consistency(self, old: int, new: int) -> tuple[bytes, ...]:
        return Files(self._read).consistency(old, new)

    def submit(self, signed: SignedEvent) -> int:
        raise RegistryError("a mirror takes no events; name the registry that it is of")

    def _read(self, path: str, limit: int) -> bytes | None:
        where = f"{unquote(urlsplit(self.url).path)}/{path}"
        try:
            return reading.read_file(where, limit)
        except UnreadableFileError as error:
            if isinstance(error.__cause__, FileNotFoundError):
                return None
            cause = f"the mirror cannot be read ({error.cause})"
            raise RegistryUnavailableError(cause, path=where) from error
