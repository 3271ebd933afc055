# SPDX-License-Identifier: Apache-2.0
"""Seal, unseal, verify and inspect files; needs neither Keras nor h5py."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from dataclasses import replace as replaced
from pathlib import Path
from typing import Any

from keras_integrity_hook import settings
from keras_integrity_hook.containers import file_set, hdf5, set_kinds
from keras_integrity_hook.containers.base import ModelFile, Seal
from keras_integrity_hook.containers.set_kinds import Place
from keras_integrity_hook.errors import (
    AlreadySealedError,
    ConfigurationError,
    IntegrityError,
    SealWriteError,
    UnsealedModelError,
    printable,
)
from keras_integrity_hook.guard import (
    admission,
    check,
    computed,
    override,
    provenance,
    replace,
    sealer,
    sidecars,
)
from keras_integrity_hook.sealing.statement import Member, Region
from keras_integrity_hook.settings import Store

Location = str | os.PathLike[str]


@dataclass(frozen=True)
class SealInfo:
    """What a seal says. Sizes and offsets are in bytes; ``root`` is hex; times are UTC.

    ``store`` is where it is: ``"embedded"`` in the file, ``"sidecar"`` in a file beside it, or
    ``"set"`` for a model of several files, which has a file for it. ``model`` and
    ``model_version`` name the model, ``provenance`` says how it came about, and ``datasets`` what
    it was trained on, by digest.
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
    model: str | None = None
    model_version: str | None = None
    expires: str | None = None
    datasets: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Report:
    """The state of one model, a file or a set of files.

    Attributes:
        path: as given.
        state: ``"sealed"`` or ``"unsealed"``; damaged models raise instead. ``"overridden"`` for
            one that would be refused but for an ``override``.
        container: ``"keras-zip"``, ``"hdf5"``, or for a set ``"keras-directory"``,
            ``"keras-hub-preset"``, ``"keras-shards"``, ``"saved-model"``, ``"tf-checkpoint"``,
            ``"orbax"`` or ``"keras-backup"``.
        assurance: ``"signed"`` where somebody has signed whom this machine trusts,
            ``"integrity only"`` for any other seal, ``"none"`` without one.
        seal: what the seal says, None for an unsealed model.
        others: files beside those of a set that its seal does not cover and no loader reads.
        signers: names of the trusted keys whose signatures on the seal are good now.
        digest: that of the content as it is, ``"sha256:<hex>"``, where it was asked for.
    """

    path: str
    state: str
    container: str
    assurance: str
    seal: SealInfo | None
    others: tuple[str, ...] = ()
    signers: tuple[str, ...] = ()
    digest: str | None = None

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
    name = os.fsdecode(path)
    try:
        with _opened(name) as model:
            admission.admit(model)
            if model.seal is not None:
                check.check_content(model)
            return _report(model)
    except IntegrityError as error:
        pinned = override.admitted(name, error, set_kinds.recognise(name))
        if pinned is None:
            raise
        with pinned:
            return _overridden(pinned)


def inspect(path: Location, *, digest: bool = False) -> Report:
    """Read the seal without checking the content; raises as :func:`verify` but for mismatches.

    Args:
        path: as in :func:`verify`.
        digest: compute that of the content as it is, too, which reads all of it.
    """
    name = os.fsdecode(path)
    with _opened(name) as model:
        report = _report(model)
    if not digest:
        return report
    with computed.open_as_it_is(name, set_kinds.recognise(name)) as found:
        assert found.seal is not None
        return replaced(report, digest=computed.content_digest(found.seal))


def seal(path: Location, *, algorithm: str | None = None, store: str | None = None) -> Report:
    """Put a seal into an unsealed file, which is replaced atomically, or beside a set of files.

    Args:
        path: as in :func:`verify`.
        algorithm: ``sha256``, ``sha512``, ``blake2b`` or, with its extra, ``blake3``; None for
            that of the settings, which is ``sha256`` by default.
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
        demands = settings.at(model.path)
        where = demands.store if store is None else _checked_store(store)
        _put_seal(model, algorithm or demands.algorithm, where)
    return inspect(path)


def reseal(path: Location, *, reason: str) -> Report:
    """Replace the seal of a model that was changed on purpose by one over what it is now.

    The new seal says why, and the root that the old one stated. It takes over nothing else: name
    and version come from the settings or :func:`provenance`, and older signatures go.

    Args:
        path: as in :func:`verify`; whether the content matches its seal does not matter.
        reason: why it was changed, one line of text.

    Raises:
        UnsealedModelError: there is no seal to replace; :func:`seal` makes the first.
        DamagedFileError, MalformedSealError: the structure is broken, so nobody can tell what the
            content would be.
        SealWriteError: the new seal could not be written; the file is as it was.
        ConfigurationError: the reason is empty, too long or not one line.
    """
    with _opened(path) as model:
        if model.seal is None:
            error = UnsealedModelError("the model has no seal to replace", path=model.path)
            error.default_remedy = "Seal it with 'keras-integrity seal PATH'."
            raise error
        algorithm = settings.at(model.path).algorithm
        with provenance.resealing(reason, model.seal.statement.root):
            _put_seal(model, algorithm, _store_of(model.seal))
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


def sign(path: Location, *, key: str, ask: Callable[[str], str] | None = None) -> Report:
    """Add a signature to the seal of a model whose content matches it; nothing else changes.

    It vouches for all that the seal says, the model's name and version among it. Where the same
    key has signed already nothing is done.

    Args:
        path: as in :func:`verify`.
        key: the path of a private key, ``env:NAME``, or a signer URI (``hsm:…``, ``awskms:…``).
        ask: asks a person for a passphrase or PIN, given what it is for; without it the
            environment has to give it (``KERAS_INTEGRITY_KEY_PASSPHRASE_FILE``).

    Raises:
        UnsealedModelError: there is no seal to sign.
        SigningError: the key cannot be used.
        RevokedModelError: the model was recalled.
        SealWriteError: the new file could not be written; the one there is as it was.
        ChecksumMismatchError and the rest: as :func:`verify`.
    """
    with _opened(path) as model:
        if model.seal is None:
            raise UnsealedModelError("the model has no seal to sign", path=model.path)
        from keras_integrity_hook.guard import resign

        with _write_errors(model.path):
            resign.add_signature(model, key, ask)
    return inspect(path)


def _opened(path: Location) -> ModelFile:
    place = set_kinds.recognise(os.fsdecode(path))
    if place is not None:
        replace.finish_interrupted(place)
    return sidecars.open_settled(path)


def _checked_store(name: str) -> Store:
    try:
        return Store(name)
    except ValueError:
        allowed = ", ".join(one.value for one in Store)
        cause = f"store is '{printable(str(name))}'; allowed are {allowed}"
        raise ConfigurationError(cause) from None


def _put_seal(model: ModelFile, algorithm: str, store: Store) -> None:
    if model.files is not None:
        _seal_set(model, model.files.place, algorithm)
    elif store is Store.SIDECAR:
        with _write_errors(model.path):
            sidecars.put_seal_beside(model, algorithm)
    else:
        _rewrite(model, algorithm)


def _seal_set(model: ModelFile, place: Place, algorithm: str) -> None:
    subject = os.path.basename(os.path.abspath(model.path))
    with _write_errors(model.path):
        sealer.seal_set(place, subject=subject, algorithm=algorithm, path=model.path)


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
                sealer.seal_in_place(fd, subject=target.name, algorithm=algorithm, path=model.path)
        finally:
            os.close(fd)
        sidecars.put_in_place(private, target)


def _store_of(seal: Seal) -> Store:
    return Store.EMBEDDED if seal.sidecar is None else Store.SIDECAR


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
        store="set" if model.files else _store_of(model.seal).value,
        provenance=dict(said.provenance),
        regions=said.regions,
        model=said.model.get("name"),
        model_version=said.model.get("version"),
        expires=said.expires,
        datasets=dict(said.datasets),
    )
    found = admission.signers_of(model.seal, settings.at(model.path))
    signers = tuple(signer.name for signer in found)
    assurance = "signed" if signers else "integrity only"
    return Report(model.path, "sealed", model.container, assurance, info, others, signers)


def _overridden(pinned: ModelFile) -> Report:
    """The report on a model that somebody named by the digest of what it is."""
    assert pinned.seal is not None
    digest = computed.content_digest(pinned.seal)
    return Report(pinned.path, "overridden", pinned.container, "override", seal=None, digest=digest)
