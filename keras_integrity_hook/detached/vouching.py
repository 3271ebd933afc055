# SPDX-License-Identifier: Apache-2.0
"""Does a detached signature beside a model vouch for what is about to be loaded?

The signature is over raw bytes: of a sealed file together with its seal, of a set each file that a
loader reads. They are read once. The same buffers give the digests that are compared with the
signature and the chunk table that the load is checked against from then on; so what is loaded is
what was signed, whatever is written to the path meanwhile (CWE-367).
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from datetime import datetime
from typing import NamedTuple

from keras_integrity_hook.containers import file_set
from keras_integrity_hook.containers.file_set import OpenSet, Part
from keras_integrity_hook.containers.kinds import SIGNATURE_NAME, SIGNATURE_SUFFIX
from keras_integrity_hook.containers.model_file import ModelFile, Seal, SealedModel
from keras_integrity_hook.detached import bundle_signer, manifest, resources
from keras_integrity_hook.detached.manifest import WHOLE, Manifest
from keras_integrity_hook.errors import (
    ChecksumMismatchError,
    DamagedFileError,
    IntegrityError,
    MalformedBundleError,
    NotSignedError,
    UnreadableFileError,
    printable,
)
from keras_integrity_hook.files import local_copies
from keras_integrity_hook.files.portable import system
from keras_integrity_hook.files.reading import read_file
from keras_integrity_hook.limits import LIMITS
from keras_integrity_hook.sealing import block, envelope, tree
from keras_integrity_hook.sealing.content import Content, FileContent
from keras_integrity_hook.signing import trust_store
from keras_integrity_hook.signing.seal_signers import Signer
from keras_integrity_hook.verification import digests, single_pass
from keras_integrity_hook.verification.pinning import seal_of


class Attestation(NamedTuple):
    """A good signature of somebody trusted over the bytes of an open model.

    Attributes:
        signers: the one who signed.
        content: the raw bytes; they and nothing else are to be handed to a loader.
        seal: a computed seal that pins ``content``.
        vouched: whether the signature covers the model's own seal too, so that what that says
            (name, version, expiry) is the signer's word.
        bundle: path of the signature.
        roots: those that the content would have under each algorithm that models were recalled by.
    """

    signers: tuple[Signer, ...]
    content: Content
    seal: Seal
    vouched: bool
    bundle: str
    roots: tuple[str, ...]


def attestation_for(model: ModelFile, *, at: datetime, machine_only: bool) -> Attestation | None:
    """What the detached signature beside ``model`` vouches for; None where there is none.

    A file's is ``<file>.sig``, else ``model.sig`` in its directory; a directory's ``model.sig`` in
    it, else ``<directory>.sig``. One of a whole directory counts for the files in it as well.

    Args:
        model: open, and its files held if it is a sealed set. It is not changed, except that the
            files of an unsealed set are opened and held from now on.
        at: now, with a time zone.
        machine_only: whether only the machine's trust file counts.

    Raises:
        NotSignedError: nobody trusted signed it.
        MalformedBundleError: it is no bundle.
        ChecksumMismatchError: it is the signature of something else, or the seal does not match.
        DamagedFileError, UnreadableFileError, LimitExceededError, ConfigurationError,
        InsecurePermissionsError: as their names say.
    """
    signature = next(_candidates(model), None)
    if signature is None:
        return None
    path, data = signature
    # (1) Who signed, before anything that the signature says is looked at.
    store = trust_store.store(machine_only=machine_only)
    with _naming(path, model):
        payload, signer = bundle_signer.verified(data, store, at)
        signed = manifest.decode(payload)
        # (2) One reading for both digests.
        parts = _parts(model, signed)
        # A recalled model stays so without its seal, which the signature outlives.
        recalled = store.recalling_algorithms()
        reading = resources.compared(parts, signed, _missing(model, signed), recalled)
    content = resources.joined(parts)
    seal = seal_of(model, content, reading.table, single_pass.PINNED_BY)
    # (3) The model's own seal must not contradict it.
    vouched = isinstance(model, SealedModel) and _is_own_seal_signed(model, signed, seal)
    roots = tuple(
        seal_of(model, content, reading.tables[name], name).statement.root for name in recalled
    )
    return Attestation((signer,), content, seal, vouched, path, roots)


def read(path: str) -> bytes | None:
    """The bytes of the bundle at ``path``; None where there is none.

    Raises:
        UnreadableFileError, LimitExceededError: as their names say.
    """
    if not os.path.lexists(path):
        return None
    return read_file(path, LIMITS.bundle)


def places(path: str) -> tuple[str, str]:
    """Where the detached signature of the model at ``path`` may lie, the likelier first."""
    path = os.path.normpath(local_copies.copy_of(path))
    if os.path.isdir(path):
        return os.path.join(path, SIGNATURE_NAME), path + SIGNATURE_SUFFIX
    return path + SIGNATURE_SUFFIX, os.path.join(os.path.dirname(path), SIGNATURE_NAME)


def _candidates(model: ModelFile) -> Iterator[tuple[str, bytes]]:
    for path in places(model.path):
        data = read(path)
        if data is not None:
            yield path, data


@contextlib.contextmanager
def _naming(path: str, model: ModelFile) -> Iterator[None]:
    """Say in errors which signature it was, and of which model."""
    try:
        yield
    except (NotSignedError, MalformedBundleError, ChecksumMismatchError) as error:
        error.cause = f"the detached signature {printable(path)}: {error.cause}"
        error.path = model.path
        if isinstance(error, ChecksumMismatchError):
            error.container = model.container
        raise
    except IntegrityError as error:
        error.path = error.path or model.path
        raise
    except OSError as error:
        raise UnreadableFileError(f"cannot be read ({error.strerror})", path=model.path) from error


def _parts(model: ModelFile, signed: Manifest) -> list[Part]:
    if model.files is None:
        content = FileContent(model.fd, 0, system.fstat(model.fd).st_size)
        name = WHOLE if WHOLE in signed.files else os.path.basename(model.path)
        return [Part(name, content)]
    if model.seal is None:
        try:
            file_set.take_hold(model.files)
        except FileNotFoundError as error:
            raise DamagedFileError("a file of the model was taken away") from error
    return model.files.parts


def _missing(model: ModelFile, signed: Manifest) -> Iterator[str]:
    """Files of the set that were signed and are not there: a loader may do without, and differ."""
    files = model.files
    if files is None:
        return
    held = {part.name for part in files.parts}
    for name in signed.files:
        ours = files.place.kind.whole_directory or files.place.owns(name)
        if ours and name not in held and not _is_there(files, name):
            yield name


def _is_there(files: OpenSet, name: str) -> bool:
    try:
        system.stat(name, dir_fd=files.directory, follow_symlinks=False)
    except OSError:
        return False
    return True


def _is_own_seal_signed(model: SealedModel, signed: Manifest, raw: Seal) -> bool:
    """Whether the content matches its own seal, and the signature covers that.

    Raises:
        ChecksumMismatchError, DamagedFileError: it does not match, or was exchanged meanwhile.
    """
    digests.check_content(model)
    spelled = _block_of(model.seal)
    if model.seal.sidecar is not None:
        return False
    if model.files is None:
        content = FileContent(model.fd, 0, raw.statement.size)
        offset, size = model.seal.offset, model.seal.size
        if single_pass.read_pinned(content, raw.table, offset, size) != spelled:
            raise ChecksumMismatchError("the file was changed while it was read", path=model.path)
        return True
    pieces = signed.files.get(model.files.place.seal, ())
    digest = tree.new_hash(signed.algorithm)
    digest.update(spelled)
    return [piece.digest for piece in pieces] == [digest.digest()]


def _block_of(seal: Seal) -> bytes:
    """The bytes that ``seal`` was decoded from: there is one spelling of it alone."""
    spelled, table = envelope.encode(seal.envelope), seal.table
    padding = seal.size - block.OVERHEAD - len(spelled) - len(table)
    return block.encode(spelled, table, padding)
