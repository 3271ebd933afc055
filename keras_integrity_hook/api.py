# SPDX-License-Identifier: Apache-2.0
"""Seal, unseal, verify and inspect files; needs neither Keras nor h5py."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from keras_integrity_hook.containers import file_set, hdf5, set_kinds
from keras_integrity_hook.containers.base import ModelFile
from keras_integrity_hook.containers.set_kinds import Place
from keras_integrity_hook.errors import (
    AlreadySealedError,
    ConfigurationError,
    IntegrityError,
    SealWriteError,
    UnsealedModelError,
    printable,
)
from keras_integrity_hook.guard import admission, check, replace, sealer, sidecars
from keras_integrity_hook.sealing.statement import Member, Region
from keras_integrity_hook.settings import Store

Location = str | os.PathLike[str]


@dataclass(frozen=True)
class SealInfo:
    """What a seal says. Sizes and offsets are in bytes; ``root`` is hex.

    ``store`` is where it is: ``"embedded"`` in the file, ``"sidecar"`` in a file beside it, or
    ``"set"`` for a model of several files, which has a file for it.
    """

    container: str
    algorithm: str
    root: str
    size: int
    chunk_size: int
    chunks: int
    subject: str
    created: str
    signatures: int
    files: tuple[Member, ...]
    block_offset: int
    block_size: int
    store: str
    provenance: Mapping[str, str] = field(default_factory=dict)
    regions: tuple[Region, ...] = ()


@dataclass(frozen=True)
class Report:
    """The state of one model, a file or a set of files.

    Attributes:
        path: as given.
        state: ``"sealed"`` or ``"unsealed"``; damaged models raise instead.
        container: ``"keras-zip"``, ``"hdf5"``, or for a set ``"keras-directory"``,
            ``"keras-hub-preset"``, ``"keras-shards"``, ``"saved-model"``, ``"tf-checkpoint"``,
            ``"orbax"`` or ``"keras-backup"``.
        assurance: ``"integrity only"`` for a seal without signatures, else ``"none"``.
        seal: what the seal says, None for an unsealed model.
        others: files beside those of a set that its seal does not cover and no loader reads.
    """

    path: str
    state: str
    container: str
    assurance: str
    seal: SealInfo | None
    others: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """JSON-able values."""
        return asdict(self)


def verify(path: Location) -> Report:
    """Check the whole model against its seal.

    Args:
        path: a ``.keras`` or HDF5 file, a model directory (Keras's, SavedModel, Orbax), the
            ``.weights.json`` of sharded weights, or the prefix of a TensorFlow checkpoint.

    Raises:
        ChecksumMismatchError: the content does not match.
        DamagedFileError, MalformedSealError, LimitExceededError: the structure is broken.
        UnsealedModelError: no seal, and ``KERAS_INTEGRITY_UNSEALED=reject``.
        NotAModelError, UnreadableFileError: nothing that could be checked.

    Example:
        >>> import keras_integrity_hook
        >>> keras_integrity_hook.verify("model.keras").assurance  # doctest: +SKIP
        'integrity only'
    """
    with _opened(path) as model:
        admission.admit(model)
        if model.seal is not None:
            check.check_content(model)
        return _report(model)


def inspect(path: Location) -> Report:
    """Read the seal without checking the content; raises as :func:`verify` but for mismatches."""
    with _opened(path) as model:
        return _report(model)


def seal(path: Location, *, algorithm: str = "sha256", store: str | None = None) -> Report:
    """Put a seal into an unsealed file, which is replaced atomically, or beside a set of files.

    Args:
        path: as in :func:`verify`.
        algorithm: ``sha256``, ``sha512``, ``blake2b`` or, with its extra, ``blake3``.
        store: ``"sidecar"`` leaves a single file as it is and puts the seal into
            ``<file>.seal``, ``"embedded"`` puts it into the file; None: as the settings say.

    Raises:
        AlreadySealedError: it has one.
        SealWriteError: the sealed copy could not be written; the file is as it was.
        DamagedFileError, NotAModelError, UnreadableFileError, ConfigurationError: see ``verify``.
    """
    with _opened(path) as model:
        if model.seal is not None:
            raise AlreadySealedError("the model has a seal already", path=model.path)
        if model.files is not None:
            _seal_set(model, model.files.place, algorithm)
        elif _is_beside(model.path, store):
            with _write_errors(model.path):
                sidecars.put_seal_beside(model, algorithm)
        else:
            _rewrite(model, algorithm)
    return inspect(path)


def unseal(path: Location) -> Report:
    """Take the seal out again, or away: what is left is the original content, byte for byte.

    Raises:
        UnsealedModelError: there is none.
        SealWriteError: the copy could not be written; the file is as it was.
    """
    with _opened(path) as model:
        if model.seal is None:
            raise UnsealedModelError("the model has no seal to take out", path=model.path)
        if model.files is not None:
            _unseal_set(model, model.files.place)
            model.seal = None
            return _report(model)  # what is left may not even be a model
        if model.seal.sidecar is None:
            _rewrite(model, None)
        else:
            with _write_errors(model.path):
                os.unlink(model.seal.sidecar.path)
    return inspect(path)


def _opened(path: Location) -> ModelFile:
    place = set_kinds.recognise(os.fsdecode(path))
    if place is not None:
        replace.finish_interrupted(place)
    return sidecars.open_settled(path)


def _is_beside(path: str, store: str | None) -> bool:
    try:
        return sidecars.are_wanted(path) if store is None else Store(store) is Store.SIDECAR
    except ValueError:
        allowed = ", ".join(one.value for one in Store)
        raise ConfigurationError(
            f"store is '{printable(str(store))}'; allowed are {allowed}"
        ) from None


def _seal_set(model: ModelFile, place: Place, algorithm: str) -> None:
    subject = os.path.basename(os.path.abspath(model.path))
    with _write_errors(model.path):
        sealer.seal_set(place, subject=subject, algorithm=algorithm)


def _unseal_set(model: ModelFile, place: Place) -> None:
    with _write_errors(model.path):
        os.unlink(os.path.join(place.directory, place.seal))


@contextlib.contextmanager
def _write_errors(path: str) -> Iterator[None]:
    """Raise SealWriteError for what the operating system refuses."""
    try:
        yield
    except IntegrityError as error:
        error.path = error.path or path
        raise
    except OSError as error:
        cause = f"the new file could not be written ({error.strerror})"
        raise SealWriteError(cause, path=path) from error


def _rewrite(model: ModelFile, algorithm: str | None) -> None:
    target = Path(os.path.realpath(model.path))
    with _write_errors(model.path), replace.private_sibling(target) as private:
        fd = os.open(private, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            # HDF5 gets room for a middling seal at once, so that most files move only once.
            room = hdf5.user_block_for(8192) if algorithm and model.container == "hdf5" else 0
            sealer.copy_content(model.content, fd, room)
            if algorithm:
                sealer.seal_in_place(fd, subject=target.name, algorithm=algorithm)
        finally:
            os.close(fd)
        sidecars.put_in_place(private, target)


def _store_of(model: ModelFile) -> str:
    if model.files is not None:
        return "set"
    assert model.seal is not None
    return (Store.EMBEDDED if model.seal.sidecar is None else Store.SIDECAR).value


def _report(model: ModelFile) -> Report:
    others = tuple(map(file_set.shown, model.files.others)) if model.files else ()
    if model.seal is None:
        return Report(model.path, "unsealed", model.container, "none", None, others)
    said = model.seal.statement
    info = SealInfo(
        container=said.container,
        algorithm=said.algorithm,
        root=said.root,
        size=said.size,
        chunk_size=said.chunk_size,
        chunks=-(-said.size // said.chunk_size),
        subject=said.subject,
        created=said.created,
        signatures=len(model.seal.envelope.signatures),
        files=said.files,
        block_offset=model.seal.offset,
        block_size=model.seal.size,
        store=_store_of(model),
        provenance=dict(said.provenance),
        regions=said.regions,
    )
    return Report(model.path, "sealed", model.container, "integrity only", info, others)
