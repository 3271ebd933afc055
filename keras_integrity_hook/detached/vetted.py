# SPDX-License-Identifier: Apache-2.0
"""Does somebody who is trusted to try models say that this one passed?

What counts is a verification summary beside the model, signed by a key of ``[[vetters]]`` in a
trust file, over the very content that is about to be loaded. Summaries that say FAILED count too,
and one of them outweighs all others: whoever could take it away could as well take all away.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import NamedTuple

from keras_integrity_hook.containers import file_set
from keras_integrity_hook.containers.kinds import SUMMARIES_SUFFIX
from keras_integrity_hook.containers.model_file import ModelFile, SealedModel
from keras_integrity_hook.detached import vsa
from keras_integrity_hook.detached.vsa import Summary
from keras_integrity_hook.errors import (
    DamagedFileError,
    IntegrityError,
    NotVettedError,
    SigningError,
    UnreadableFileError,
    printable,
)
from keras_integrity_hook.files import atomic, local_copies, reading
from keras_integrity_hook.limits import LIMITS
from keras_integrity_hook.sealing import envelope, tree
from keras_integrity_hook.sealing.envelope import Envelope
from keras_integrity_hook.signing import keys, seal_signers, trust_store
from keras_integrity_hook.signing.trust_file import TrustedKey
from keras_integrity_hook.signing.trust_store import TrustStore
from keras_integrity_hook.verification import pinning

_TRUST_A_VETTER = "'keras-integrity trust add --vetter NAME PUBLIC' trusts one."


class Vetted(NamedTuple):
    """A model that passed.

    Attributes:
        model: as it was opened; where it has no seal, under one that pins what the vetter saw.
        vetters: names of those who say so.
    """

    model: SealedModel
    vetters: tuple[str, ...]


class Word(NamedTuple):
    """A summary, and the trusted vetters who signed it."""

    summary: Summary
    vetters: tuple[str, ...]


def place(path: str) -> str:
    """Where the summaries of the model at ``path``, a file, directory or stem, lie: beside it, so
    that no seal or signature over a directory is about them."""
    return os.path.normpath(local_copies.copy_of(path)) + SUMMARIES_SUFFIX


def required(model: ModelFile, *, at: datetime, machine_only: bool) -> Vetted:
    """``model`` as a trusted vetter saw it. It is not changed, except that the files of an unsealed
    set are opened and held from now on.

    Args:
        at: now, with a time zone.
        machine_only: whether only the machine's trust file counts.

    Raises:
        NotVettedError: nobody trusted says that this content passed, or one says that it failed.
        MalformedBundleError, UnreadableFileError, LimitExceededError, DamagedFileError,
        ConfigurationError, InsecurePermissionsError: as their names say.
    """
    path = model.files.place.path if model.files is not None else model.path
    words = trusted(path, at=at, machine_only=machine_only)
    for sealed in _under_seals(model, words):
        digest = pinning.content_digest(sealed.seal)
        about = [word for word in words if word.summary.digest == digest]
        _refuse_failed(about)
        passed = tuple(name for word in about for name in word.vetters)
        if passed:
            return Vetted(sealed, tuple(dict.fromkeys(passed)))
    raise NotVettedError(_why_not(model, words), path=model.path)


def trusted(path: str, *, at: datetime, machine_only: bool) -> tuple[Word, ...]:
    """The summaries beside the model at ``path`` that a trusted vetter has signed, about whatever
    content; raises as :func:`required`, and NotVettedError where there is no file of them."""
    where = place(path)
    if not os.path.lexists(where):
        cause = "a verification summary by a trusted vetter is required, and there is none"
        raise NotVettedError(cause, path=path)
    store = trust_store.store(machine_only=machine_only)
    try:
        envelopes = vsa.decode_lines(reading.read_file(where, LIMITS.bundle))
        return tuple(_words(envelopes, store, at))
    except IntegrityError as error:
        error.path = where
        raise


def write(path: str, signed: Envelope) -> str:
    """Put a signed summary beside the model at ``path``, in the place of an earlier one by the same
    keys; those of others stay. Returns where.

    Raises:
        SigningError: it could not be written; what was there is as it was.
        MalformedBundleError, LimitExceededError, UnreadableFileError: what is there is no such
            file.
    """
    where = place(path)
    signers = {one.keyid for one in signed.signatures}
    kept: list[Envelope] = []
    if os.path.lexists(where):
        there = vsa.decode_lines(reading.read_file(where, LIMITS.bundle))
        kept = [one for one in there if signers.isdisjoint(s.keyid for s in one.signatures)]
    data = b"".join(vsa.encode_line(one) for one in (*kept, signed))
    try:
        with atomic.open_target(where) as final, atomic.private_file(final) as private:
            final.refuse_unwritable()
            with os.fdopen(private.create(0o666), "wb") as file:
                file.write(data)
            private.put_in_place(expected=final.old)
    except OSError as error:
        cause = f"the verification summary could not be written ({error.strerror})"
        remedy = "Check the directory, its permissions and free space."
        raise SigningError(cause, path=where, remedy=remedy) from error
    return where


def _words(envelopes: Sequence[Envelope], store: TrustStore, at: datetime) -> Iterator[Word]:
    for signed in envelopes:
        vetters = tuple(_vetters(signed, store, at))
        # Whose it is, before anything that it says is looked at.
        summary = vsa.decode(signed.payload) if vetters else None
        if summary is not None:
            yield Word(summary, vetters)


def _vetters(signed: Envelope, store: TrustStore, at: datetime) -> Iterator[str]:
    data = envelope.pae(signed.payload)
    for key in store.vetters:
        if key.counts_at(at) and store.revocation_of(key) is None and _has(key, signed, data):
            yield key.name


def _has(key: TrustedKey, signed: Envelope, data: bytes) -> bool:
    public = trust_store.checked(key)
    # A key id is a hint (DSSE), and other tools leave it out.
    named = (one for one in signed.signatures if one.keyid in ("", key.keyid))
    return any(keys.is_valid(public, seal_signers.raw(one), data) for one in named)


def _under_seals(model: ModelFile, words: Sequence[Word]) -> Iterator[SealedModel]:
    """``model`` under its seal; without one, under what pins its content by each digest that the
    vetters used."""
    if isinstance(model, SealedModel):
        yield model
        return
    content = model.content
    with _naming(model):
        if model.files is not None:
            file_set.take_hold(model.files)
            content = model.files.content
        used = dict.fromkeys(word.summary.digest.partition(":")[0] for word in words)
        for algorithm in filter(tree.is_available, used):
            chunk = tree.chunk_size_for(content.size)
            table = tree.table(content, chunk_size=chunk, algorithm=algorithm)
            yield model.with_seal(pinning.seal_of(model, content, table, algorithm), content)


@contextlib.contextmanager
def _naming(model: ModelFile) -> Iterator[None]:
    try:
        yield
    except FileNotFoundError as error:
        cause = "a file of the model was taken away"
        raise DamagedFileError(cause, path=model.path) from error
    except OSError as error:
        raise UnreadableFileError(f"cannot be read ({error.strerror})", path=model.path) from error


def _refuse_failed(about: Sequence[Word]) -> None:
    for word in about:
        if not word.summary.passed:
            who, when = printable(word.vetters[0]), printable(word.summary.at)
            remedy = "Do not load it; ask whoever vetted it what it tried."
            raise NotVettedError(f"'{who}' says that it failed ({when})", remedy=remedy)


def _why_not(model: ModelFile, words: Sequence[Word]) -> str:
    needed = "a verification summary by a trusted vetter is required"
    if not words:
        return f"{needed}, and nobody trusted signed the one beside it. {_TRUST_A_VETTER}"[:-1]
    names = ", ".join(dict.fromkeys(name for word in words for name in word.vetters))
    there = "" if model.seal is None else ", or by another digest algorithm than its seal has"
    return f"{needed}, and that of {printable(names)} is about other content{there}"
