# SPDX-License-Identifier: Apache-2.0
"""Does the content of a model match its seal?"""

from __future__ import annotations

from collections.abc import Mapping

from keras_integrity_hook.containers.model_file import ModelFile, SealedModel
from keras_integrity_hook.errors import DamagedFileError
from keras_integrity_hook.files import location
from keras_integrity_hook.sealing import tree
from keras_integrity_hook.sealing.statement import Statement
from keras_integrity_hook.verification import damage
from keras_integrity_hook.verification.pinning import spelled_digest


def check_content(model: SealedModel, *, afresh: bool = False) -> None:
    """Compare every chunk digest of ``model`` as it is now with the one that its seal states.

    They are computed of its bytes, but for those of a private copy that were computed while it was
    fetched: these are good until somebody writes to it.

    Args:
        afresh: compute all of them.

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
            model.content,
            chunk_size=statement.chunk_size,
            algorithm=statement.algorithm,
            known={} if afresh else _arrived(model),
        )
    except DamagedFileError as error:
        error.path = model.path
        raise
    compare(model, table)


def _arrived(model: SealedModel) -> Mapping[int, bytes]:
    if not location.is_url(model.path):
        return {}
    from keras_integrity_hook.remote import arrivals

    statement = model.seal.statement
    return arrivals.known(model.content, statement.chunk_size, statement.algorithm)


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
