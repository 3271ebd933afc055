# SPDX-License-Identifier: Apache-2.0
"""A registry as files, which ``registry export`` wrote: in a directory, or behind a web server."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import NamedTuple
from urllib.parse import unquote, urlsplit

from keras_integrity_hook.errors import RegistryError, RegistryUnavailableError
from keras_integrity_hook.registry import merkle, mirrors, notes
from keras_integrity_hook.registry.answers import Answer
from keras_integrity_hook.registry.client.memory import Asked
from keras_integrity_hook.registry.client.source import Said
from keras_integrity_hook.registry.mirrors import Read
from keras_integrity_hook.registry.signed import SignedEvent


def answers(read: Read, asked: Asked, seen: bytes) -> list[Said]:
    """What the mirror says of each digest; raises as :meth:`source.Source.answers`."""
    return [_said(read, mirrors.answer(read, digest), seen) for digest in asked.digests]


def _said(read: Read, answer: Answer, seen: bytes) -> Said:
    """``answer``, and the proof that its log continues the one that was ``seen``: a mirror does not
    know what somebody saw, but it has all that the proof is made of."""
    old = notes.unverified_checkpoint(seen).size if seen else 0
    new = notes.unverified_checkpoint(answer.checkpoint).size
    if not 0 < old < new:
        return Said(answer, ())
    return Said(answer, merkle.consistency_proof(old, new, mirrors.nodes(read, new)))


class Mirror(NamedTuple):
    """A mirror in a directory, which a ``file:`` URL names."""

    url: str

    @property
    def ends_in_time(self) -> bool:
        return False  # whatever file system it is on

    @property
    def needs_freshness(self) -> bool:
        return True

    def answers(self, asked: Asked, seen: bytes) -> Sequence[Said]:
        return answers(self.read, asked, seen)

    def submit(self, signed: SignedEvent) -> int:
        raise RegistryError("a mirror takes no events; name the registry that it is of")

    def read(self, path: str, limit: int) -> bytes | None:
        directory = unquote(urlsplit(self.url).path)
        data = mirrors.in_directory(directory)(path, limit)
        if data is None and not os.path.isdir(directory):
            raise RegistryUnavailableError(
                "there is no such directory, which should be the mirror of a registry",
                path=directory,
                remedy="Look at the URL, and whether what the directory is on is mounted.",
            )
        return data
