# SPDX-License-Identifier: Apache-2.0
"""A seal computed from the content as it is: for content that something else vouches for.

It pins the bytes. What is loaded afterwards is checked against it as against any seal, so that
nothing can change between the moment a digest was compared and the moment the bytes are used.
"""

from __future__ import annotations

from keras_integrity_hook.containers.base import ModelFile, Seal
from keras_integrity_hook.sealing import statement, tree
from keras_integrity_hook.sealing.content import Content
from keras_integrity_hook.sealing.envelope import Envelope
from keras_integrity_hook.sealing.statement import Statement


def computed_seal(model: ModelFile, algorithm: str = "sha256") -> Seal:
    """The seal that the content of ``model`` would have now, in no file and signed by nobody.

    Args:
        model: an open model, sealed or not; it is left as it is.
        algorithm: a name of :data:`sealing.tree.ALGORITHMS`.

    Raises:
        DamagedFileError: the content became shorter while it was read.
    """
    content = model.content
    chunk_size = tree.chunk_size_for(content.size)
    table = tree.table(content, chunk_size=chunk_size, algorithm=algorithm)
    return seal_of(model, content, table, algorithm)


def seal_of(model: ModelFile, content: Content, table: bytes, algorithm: str) -> Seal:
    """The same, of bytes of ``model`` whose chunk ``table`` is known already.

    Args:
        content: its content, or its raw bytes.
    """
    chunk_size = tree.chunk_size_for(content.size)
    said = Statement(
        subject="",
        root=tree.root(table, size=content.size, chunk_size=chunk_size, algorithm=algorithm),
        container=model.container,
        algorithm=algorithm,
        size=content.size,
        chunk_size=chunk_size,
        created="",
        files=() if model.files is None else model.files.members,
    )
    return Seal(said, Envelope(statement.encode(said)), table, offset=0, size=0)
