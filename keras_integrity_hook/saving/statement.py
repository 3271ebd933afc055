# SPDX-License-Identifier: Apache-2.0
"""Make the seal of a content: gather what it says, digest the content, sign."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import NamedTuple

from keras_integrity_hook import settings
from keras_integrity_hook.containers.layout import Layout
from keras_integrity_hook.containers.regions import name_regions
from keras_integrity_hook.saving import autosign, provenance
from keras_integrity_hook.sealing import block, envelope, statement, tree
from keras_integrity_hook.sealing.content import Content
from keras_integrity_hook.sealing.envelope import Envelope
from keras_integrity_hook.sealing.statement import Member, Statement

Known = Callable[[Content, int, str], Mapping[int, bytes]]
"""The digests of a content that are known already, by chunk: of a chunk size and an algorithm."""


class NewSeal(NamedTuple):
    """A seal that was made and stands nowhere yet.

    Attributes:
        statement: what it says.
        signed: the statement, encoded, with its signatures.
        table: the digests of the chunks, one after the other.
    """

    statement: Statement
    signed: Envelope
    table: bytes

    @property
    def envelope(self) -> bytes:
        """The statement with its signatures, encoded."""
        return envelope.encode(self.signed)

    @property
    def block(self) -> bytes:
        """The seal as a file of its own holds it."""
        return block.encode(self.envelope, self.table)


def seal_of(  # noqa: PLR0913 - what a seal is made from
    layout: Layout,
    *,
    subject: str,
    algorithm: str | None = None,
    path: str | None = None,
    files: tuple[Member, ...] = (),
    known: Known | None = None,
) -> NewSeal:
    """Make the seal of the content in ``layout``, signed where the settings name a key.

    Args:
        subject: the model's name for the statement.
        algorithm: a name of :data:`sealing.tree.ALGORITHMS`; None for that of the settings.
        path: where the user will find the model; settings may differ from path to path.
        files: of a set, in the order of the content.
        known: asked for the digests that need not be computed.

    Raises:
        DamagedFileError: the content became shorter while it was read.
        LimitExceededError: there is more to say than a seal may.
        SigningError: it has to be signed and could not be. ConfigurationError: as named.
    """
    content, demands = layout.content, settings.for_save(path)
    algorithm = algorithm or demands.algorithm
    chunk_size = tree.chunk_size_for(content.size)
    digests = known(content, chunk_size, algorithm) if known else {}
    table = tree.table(content, chunk_size=chunk_size, algorithm=algorithm, known=digests)
    created = _now()
    gathered = provenance.gathered(demands, created)
    made = Statement(
        subject=subject.encode("utf-8", "replace").decode(),
        root=tree.root(table, size=content.size, chunk_size=chunk_size, algorithm=algorithm),
        container=layout.container,
        algorithm=algorithm,
        size=content.size,
        chunk_size=chunk_size,
        created=statement.spelled(created),
        files=files,
        **gathered._asdict(),
        regions=name_regions(layout, chunk_size),
    )
    payload = statement.encode(made)
    signed = Envelope(payload, autosign.signatures(payload, path, demands))
    return NewSeal(made, signed, table)


def source_date() -> datetime | None:
    """The moment that ``SOURCE_DATE_EPOCH`` gives in place of now, or None.

    It makes a save reproducible (reproducible-builds.org/specs).
    """
    epoch = os.environ.get("SOURCE_DATE_EPOCH", "")
    if re.fullmatch("[0-9]{1,11}", epoch):  # up to the year 5138
        return datetime.fromtimestamp(int(epoch), UTC)
    return None


def _now() -> datetime:
    return source_date() or datetime.fromtimestamp(int(time.time()), UTC)
