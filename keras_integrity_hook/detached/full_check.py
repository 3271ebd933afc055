# SPDX-License-Identifier: Apache-2.0
"""Is every file at a path what its signer signed? The tool ``model_signing`` asks the same.

A load asks less: only what is loaded has to be signed.
"""

from __future__ import annotations

import os
from datetime import datetime
from typing import NamedTuple

from keras_integrity_hook.containers import recognition
from keras_integrity_hook.containers.file_set import Part
from keras_integrity_hook.detached import bundle_signer, manifest, resources, vouching
from keras_integrity_hook.detached.manifest import GIT_PATHS, WHOLE, Manifest
from keras_integrity_hook.errors import (
    IntegrityError,
    MalformedBundleError,
    NotSignedError,
    UnreadableFileError,
)
from keras_integrity_hook.signing.seal_signers import Signer
from keras_integrity_hook.signing.trust_store import TrustStore


class FullCheck(NamedTuple):
    """A model that is what a trusted signer signed.

    Attributes:
        bundle: path of the signature.
        files: how many files were compared with it.
        model: what the signer called the model.
    """

    bundle: str
    signer: Signer
    files: int
    model: str


def check_all(
    path: str, store: TrustStore, at: datetime, *, bundle: str | None = None
) -> FullCheck:
    """Compare all of the model at ``path`` with its detached signature.

    Args:
        path: a file, a directory, or what names a model of several files.
        store: who is trusted.
        at: now, with a time zone.
        bundle: path of the signature; else where :func:`vouching.places` says.

    Raises:
        NotSignedError: there is no signature, or nobody trusted made it.
        ChecksumMismatchError: a file differs, is missing, or is there and not signed.
        MalformedBundleError, UnreadableFileError, LimitExceededError, DamagedFileError,
        NotAModelError, ConfigurationError: as their names say.
    """
    signature, data = _signature_of(path, bundle)
    try:
        payload, signer = bundle_signer.verified(data, store, at)
        signed = manifest.decode(payload)
        compared = _compared(path, signature, signed)
        return FullCheck(signature, signer, compared, signed.model)
    except MalformedBundleError as error:
        error.path = signature
        raise
    except IntegrityError as error:
        error.path = error.path or path
        raise
    except OSError as error:
        raise UnreadableFileError(f"cannot be read ({error.strerror})", path=path) from error


def _signature_of(path: str, bundle: str | None) -> tuple[str, bytes]:
    for place in (bundle,) if bundle else vouching.places(path):
        data = vouching.read(place)
        if data is not None:
            return place, data
    if bundle:
        raise UnreadableFileError("no such file", path=bundle)
    if not os.path.lexists(path) and recognition.recognise(path) is None:
        raise UnreadableFileError("no such file", path=path)
    raise NotSignedError("there is no detached signature beside it", path=path)


def _compared(path: str, bundle: str, signed: Manifest) -> int:
    ignored = (*GIT_PATHS, *signed.ignored, *resources.inside(path, bundle))

    def skips(name: str) -> bool:
        return name not in signed.files and resources.is_below(name, ignored)

    with resources.opened(path, skips, links=signed.links) as parts:
        _call_as_signed(path, parts, signed)
        names = {part.name for part in parts}
        missing = [name for name in signed.files if name not in names and _belongs(path, name)]
        resources.compared(parts, signed, missing)
        return len(parts)


def _call_as_signed(path: str, parts: list[Part], signed: Manifest) -> None:
    """A file may be signed by itself, or with the directory that it is in."""
    if parts[0].name == WHOLE and WHOLE not in signed.files:
        parts[0].name = os.path.basename(path)


def _belongs(path: str, name: str) -> bool:
    """Whether the file ``name`` of a signature should be there, looking at ``path`` alone."""
    if os.path.isdir(path):
        return True
    place = recognition.recognise(path)
    return place is not None and place.owns(name)
