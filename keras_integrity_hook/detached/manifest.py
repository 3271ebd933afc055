# SPDX-License-Identifier: Apache-2.0
"""What a Model Signing statement says: which files, or which pieces of files, have which digests.

The predicate ``https://model_signing/signature/v1.0`` of an in-toto statement lists them; its
subject is a digest over the listed digests. Written is the form of ``model_signing`` 1.1 by whole
files with SHA-256; read are all of its forms: by files or by shards, SHA-256, BLAKE2b or BLAKE3.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from keras_integrity_hook.detached import strict_json
from keras_integrity_hook.errors import LimitExceededError, MalformedBundleError, SigningError
from keras_integrity_hook.limits import LIMITS
from keras_integrity_hook.sealing import tree

WHOLE = "."
"""The name of the one resource of a model that is a single file."""
GIT_PATHS = (".git", ".gitattributes", ".github", ".gitignore")
"""What the tool leaves out of each directory's signature by default."""

_TYPE = "https://in-toto.io/Statement/v1"
_PREDICATE = "https://model_signing/signature/v1.0"
_OLD_PREDICATE = "https://model_signing/Digests/v0.1"
_ALGORITHMS = ("sha256", "blake2b", "blake3")


class Piece(NamedTuple):
    """A run of bytes of a file and its digest; ``stop`` is None for "to the end"."""

    start: int
    stop: int | None
    digest: bytes


@dataclass(frozen=True, slots=True)
class Manifest:
    """The digests of a model.

    Attributes:
        model: the model's name; for people, nothing is decided by it.
        files: the pieces of each file, by its name relative to the model's directory (POSIX).
        algorithm: ``sha256``, ``blake2b`` or ``blake3``.
        links: whether the signer followed symbolic links.
        ignored: files and directories that the signer left out.
    """

    model: str
    files: Mapping[str, tuple[Piece, ...]]
    algorithm: str = "sha256"
    links: bool = False
    ignored: tuple[str, ...] = ()


def encode(manifest: Manifest) -> bytes:
    """The statement about whole files as JSON bytes.

    Raises:
        SigningError: a file name is not text.
    """
    # The order of the tool, which compares paths step by step.
    names = sorted(manifest.files, key=lambda name: name.split("/"))
    digests = [manifest.files[name][0].digest for name in names]
    serialization: dict[str, Any] = {
        "method": "files",
        "hash_type": manifest.algorithm,
        "allow_symlinks": manifest.links,
    }
    if manifest.ignored:
        serialization["ignore_paths"] = list(manifest.ignored)
    value = {
        "_type": _TYPE,
        "subject": [{"name": manifest.model, "digest": {"sha256": _root(digests)}}],
        "predicateType": _PREDICATE,
        "predicate": {
            "serialization": serialization,
            "resources": [
                {"name": name, "algorithm": manifest.algorithm, "digest": digest.hex()}
                for name, digest in zip(names, digests, strict=True)
            ],
        },
    }
    try:
        return json.dumps(value, ensure_ascii=False, indent=2).encode("utf-8")
    except UnicodeEncodeError as error:
        raise SigningError("a file's name is not text, which a statement cannot list") from error


def decode(payload: bytes) -> Manifest:
    """The manifest that a bundle's ``payload`` spells.

    Raises:
        MalformedBundleError: not such a statement, or one that contradicts itself.
        LimitExceededError: over a cap.
    """
    value = strict_json.loads(payload)
    statement = strict_json.fields(value, needed={"_type", "subject", "predicateType", "predicate"})
    if statement["predicateType"] == _OLD_PREDICATE:
        raise MalformedBundleError("the bundle is of model_signing before 0.3, which is not read")
    if statement["_type"] != _TYPE or statement["predicateType"] != _PREDICATE:
        raise MalformedBundleError("the bundle signs something else than a model")
    predicate = statement["predicate"]
    if not isinstance(predicate, dict):
        raise MalformedBundleError("the bundle's statement has no predicate")
    # Fields that a later version adds to the predicate are to be ignored, says its definition.
    form = _Form.read(predicate.get("serialization"))
    resources = strict_json.items(predicate.get("resources"))
    pieces = [form.piece(resource) for resource in resources]
    model = _checked_subject(statement["subject"], [piece.digest for _, piece in pieces])
    return Manifest(model, _by_file(pieces), form.algorithm, form.links, form.ignored)


@dataclass(frozen=True, slots=True)
class _Form:
    """The serialization that the signer chose: how resources are named and digested."""

    sharded: bool
    algorithm: str
    spelled: str
    links: bool
    ignored: tuple[str, ...]

    @classmethod
    def read(cls, value: Any) -> _Form:
        needed = {"method", "hash_type", "allow_symlinks"}
        form = strict_json.fields(value, needed=needed, allowed={"shard_size", "ignore_paths"})
        algorithm, links = form["hash_type"], form["allow_symlinks"]
        if algorithm not in _ALGORITHMS or form["method"] not in ("files", "shards"):
            raise MalformedBundleError("the bundle's files are digested in an unknown way")
        if not isinstance(links, bool):
            raise MalformedBundleError("the bundle does not say whether links were followed")
        sharded = form["method"] == "shards"
        spelled = algorithm
        if sharded:
            spelled = f"{algorithm}-sharded-{strict_json.count(form.get('shard_size'))}"
        ignored = tuple(
            strict_json.text(one) for one in strict_json.items(form.get("ignore_paths", []))
        )
        return cls(sharded, algorithm, spelled, links, ignored)

    def piece(self, value: Any) -> tuple[str, Piece]:
        resource = strict_json.fields(value, needed={"name", "algorithm", "digest"})
        if resource["algorithm"] != self.spelled:
            raise MalformedBundleError("a file of the bundle is digested in another way than it is")
        try:
            digest = bytes.fromhex(strict_json.text(resource["digest"]))
        except ValueError as error:
            raise MalformedBundleError("a digest of the bundle is not hexadecimal") from error
        if len(digest) != tree.ALGORITHMS[self.algorithm]:
            raise MalformedBundleError("a digest of the bundle has the wrong length")
        name, start, stop = strict_json.text(resource["name"]), 0, None
        if self.sharded:
            name, start, stop = _shard(name)
        _check_name(name)
        return name, Piece(start, stop, digest)


def _shard(name: str) -> tuple[str, int, int]:
    try:
        path, start, stop = name.rsplit(":", 2)
        if not (start + stop).isdecimal() or not (start + stop).isascii():
            raise ValueError("an offset is not a natural number")
        return path, int(start), int(stop)
    except ValueError as error:
        raise MalformedBundleError("a shard of the bundle has no offsets") from error


def _check_name(name: str) -> None:
    steps = name.split("/")
    if "\0" in name or (name != WHOLE and any(step in ("", ".", "..") for step in steps)):
        raise MalformedBundleError("the bundle lists a file outside the model")


def _checked_subject(value: Any, digests: list[bytes]) -> str:
    subjects = strict_json.items(value)
    if len(subjects) != 1:
        raise MalformedBundleError("the bundle's statement is not about one model")
    subject = strict_json.fields(subjects[0], needed={"name", "digest"})
    expected = strict_json.fields(subject["digest"], needed={"sha256"})["sha256"]
    if strict_json.text(expected) != _root(digests):
        raise MalformedBundleError("the bundle's files do not match its own digest of them")
    return strict_json.text(subject["name"])


def _by_file(pieces: list[tuple[str, Piece]]) -> dict[str, tuple[Piece, ...]]:
    found: dict[str, list[Piece]] = {}
    for name, piece in pieces:
        found.setdefault(name, []).append(piece)
    if len(found) > LIMITS.set_entries:
        raise LimitExceededError(f"the bundle lists {len(found)} files")
    if WHOLE in found and len(found) > 1:
        raise MalformedBundleError("the bundle lists a file and files in it")
    for parts in found.values():
        parts.sort(key=lambda piece: piece.start)
        at: int | None = 0
        for piece in parts:
            # Without a gap, an overlap or an empty shard: each byte is under one digest.
            if piece.start != at or (piece.stop is not None and piece.stop <= piece.start):
                raise MalformedBundleError("the bundle's shards of a file are not the whole file")
            at = piece.stop
    return {name: tuple(parts) for name, parts in found.items()}


def _root(digests: list[bytes]) -> str:
    return hashlib.sha256(b"".join(digests)).hexdigest()
