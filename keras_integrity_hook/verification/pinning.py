# SPDX-License-Identifier: Apache-2.0
"""A seal computed from the content as it is: for content that something else vouches for.

It pins the bytes. What is loaded afterwards is checked against it as against any seal, so that
nothing can change between the moment a digest was compared and the moment the bytes are used.
"""

from __future__ import annotations

from dataclasses import replace

from keras_integrity_hook.containers import file_set
from keras_integrity_hook.containers.kinds import Place
from keras_integrity_hook.containers.model_file import ModelFile, Seal, SealedModel, set_of_files
from keras_integrity_hook.containers.opening import errors_of, open_model
from keras_integrity_hook.sealing import canonical, statement, tree
from keras_integrity_hook.sealing.content import Content
from keras_integrity_hook.sealing.envelope import Envelope
from keras_integrity_hook.sealing.statement import Member, Statement

_SET = b"keras-integrity/v1 set\0"


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
    computed = Statement(
        subject="",
        root=tree.root(table, size=content.size, chunk_size=chunk_size, algorithm=algorithm),
        container=model.container,
        algorithm=algorithm,
        size=content.size,
        chunk_size=chunk_size,
        created="",
        files=() if model.files is None else model.files.members,
    )
    return Seal(computed, Envelope(statement.encode(computed)), table, offset=0, size=0)


def pinned(model: ModelFile, algorithm: str = "sha256") -> SealedModel:
    """``model`` under a seal that pins its content as it is now; the files of a set are held from
    now on.

    Raises:
        DamagedFileError: it became shorter, or a file was taken away, while it was read.
        UnreadableFileError: it cannot be read.
    """
    with errors_of(model.path):
        if model.files is not None:
            file_set.take_hold(model.files)
            model = replace(model, content=model.files.content)
        return model.with_seal(computed_seal(model, algorithm))


def open_as_it_is(
    path: str, place: Place | None, algorithm: str = "sha256", *, fd: int | None = None
) -> SealedModel:
    """Open the model at ``path`` with the seal that its content would have now, whatever seal it
    has. Every file of a set is held.

    Args:
        path: what the user named.
        place: where the set lies, None for a single file.
        algorithm: a name of :data:`sealing.tree.ALGORITHMS`.
        fd: the single file, where it is open already.

    Raises:
        UnreadableFileError, NotAModelError, DamagedFileError, MalformedSealError,
        LimitExceededError: there is no content to be told from the rest.
    """
    model = open_model(path, fd=fd) if place is None else _open_present(path, place)
    try:
        return model.with_seal(computed_seal(model, algorithm))
    except BaseException:
        model.close()
        raise


def content_digest(seal: Seal) -> str:
    """The digest that stands for the content under ``seal``: ``"sha256:<hex>"``.

    For a single file that is the root. For a set it binds the files' names and sizes too: the root
    is that of their bytes, one after the other, wherever one ends and the next begins.
    """
    stated = seal.statement
    return spelled_digest(stated.root, stated.algorithm, stated.files)


def spelled_digest(root: str, algorithm: str, files: tuple[Member, ...]) -> str:
    """As :func:`content_digest`, from its parts.

    Args:
        root: hexadecimal.
        files: of a set, as a statement lists them; empty for a single file.
    """
    if files:
        digest = tree.new_hash(algorithm)
        listed = [list(member) for member in files]
        digest.update(_SET + canonical.encode({"files": listed, "root": root}))
        root = digest.digest().hex()
    return f"{algorithm}:{root}"


def _open_present(path: str, place: Place) -> ModelFile:
    """The set at ``place`` with all that a loader could read there, no seal asked."""
    with errors_of(path):
        with file_set.open_directory(place) as found:
            file_set.open_present(found)
            members = found.members
        files = file_set.open_directory(place)
        try:
            file_set.open_listed(files, members, hold=True)
            return set_of_files(path, files)
        except BaseException:
            files.close()
            raise
