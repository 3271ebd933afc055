# SPDX-License-Identifier: Apache-2.0
"""Does the content of a model match its seal?"""

from __future__ import annotations

from keras_integrity_hook.containers.model_file import ModelFile, SealedModel
from keras_integrity_hook.errors import DamagedFileError
from keras_integrity_hook.sealing import tree
from keras_integrity_hook.sealing.statement import Statement
from keras_integrity_hook.verification import damage
from keras_integrity_hook.verification.pinning import spelled_digest


def check_content(model: SealedModel) -> None:
    """Recompute every chunk digest of ``model`` and compare.

    Raises:
        ChecksumMismatchError: with the damaged ranges and the parts of the model they hit.
        DamagedFileError: the file became shorter while it was read.
    """
    check_members(model)
    statement = model.seal.statement
    if model.content.size != statement.size:
        raise damage.size_mismatch(model)
    try:
        table = tree.table(
            model.content, chunk_size=statement.chunk_size, algorithm=statement.algorithm
        )
    except DamagedFileError as error:
        error.path = model.path
        raise
    compare(model, table)


def compare(model: SealedModel, table: bytes) -> None:
    """Compare the chunk digests of ``model`` as it is with those that its seal states.

    Raises:
        ChecksumMismatchError: with the damaged ranges and the parts of the model they hit.
    """
    statement = model.seal.statement
    chunks = tree.damaged_chunks(model.seal.table, table, statement.algorithm)
    if chunks:
        refusal = damage.mismatch(model, chunks)
        refusal.content_digest = _digest_as_it_is(statement, table)
        raise refusal


def check_members(model: ModelFile) -> None:
    """Whether a set holds the files its seal lists, by name and size.

    Raises:
        ChecksumMismatchError: one is missing, has another size, or is one too many.
    """
    if model.files is not None and model.files.mismatch is not None:
        model.files.mismatch.path = model.path
        if model.seal is not None:
            model.files.mismatch.sealed = model.seal.statement.origin()
        raise model.files.mismatch


def _digest_as_it_is(statement: Statement, table: bytes) -> str:
    algorithm = statement.algorithm
    root = tree.root(
        table, size=statement.size, chunk_size=statement.chunk_size, algorithm=algorithm
    )
    return spelled_digest(root, algorithm, statement.files)
