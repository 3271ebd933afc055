# SPDX-License-Identifier: Apache-2.0
"""The in-toto statement that a seal makes about its content (in-toto Statement v1)."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, NamedTuple

from keras_integrity_hook.errors import LimitExceededError, MalformedSealError
from keras_integrity_hook.limits import LIMITS
from keras_integrity_hook.sealing import canonical, text, tree

_TYPE = "https://in-toto.io/Statement/v1"
_PREDICATE = "urn:keras-integrity-hook:seal:v1"
_DIGEST = "keras-integrity-v1"
_MOMENT = "%Y-%m-%dT%H:%M:%SZ"
_SPELLED = re.compile(r"\d{4}-\d\d-\d\dT(?:[01]\d|2[0-3]):\d\d:\d\dZ", re.ASCII)
FILES = ("keras-zip", "hdf5")
SETS = (
    "keras-directory",
    "keras-hub-preset",
    "keras-shards",
    "saved-model",
    "tf-checkpoint",
    "orbax",
    "keras-backup",
)


class Member(NamedTuple):
    """One file of a set, as a statement lists it.

    Attributes:
        name: path below the set's directory, spelt as ``file_set.spell`` does. It is compared with
            what lies there, so it is kept as it is.
        size: in bytes.
    """

    name: str
    size: int


class Region(NamedTuple):
    """A named run of bytes of the original content: a file, a ZIP member or an HDF5 variable.

    Attributes:
        name: for people, e.g. ``"config.json"`` or ``"model.weights.h5!/layers/dense/vars/0"``,
            escaped when it was decoded.
        offset: of its first byte, in bytes of the original content.
        size: in bytes.
        crc: CRC-32 of the bytes where the region is smaller than a chunk, so that damage within
            one chunk is pinned to one variable; None for larger ones. Diagnosis only: what
            decides is the chunk table.
    """

    name: str
    offset: int
    size: int
    crc: int | None = None


@dataclass(frozen=True, slots=True)
class Statement:
    """What the seal says; every field is bound by the root digest or by signatures over it.

    What is only shown is escaped when it is decoded (see ``sealing.text``). A seal is encoded again
    from its payload, never from a decoded statement, so nothing is lost by that.

    Attributes:
        subject: base name of the model when it was sealed; escaped.
        root: the root digest, lower-case hexadecimal.
        container: a name of :data:`FILES` or :data:`SETS`.
        algorithm: a name of :data:`sealing.tree.ALGORITHMS`.
        size: of the original content, in bytes.
        chunk_size: in bytes; follows from ``size``.
        created: when it was sealed, UTC, as :func:`spelled` spells it.
        files: empty for a single file; for a set the files whose bytes, one after the other, are
            the content, ordered by name.
        expires: when the seal ends to be good, spelt as ``created``; None for never.
        model: ``"name"`` and ``"version"``, each text or None. Rules compare them, so they are
            kept as they are and hold no control character.
        provenance: facts by name, both escaped text.
        regions: the map of names to bytes, ordered by offset.
        datasets: digests of training data, ``"<algorithm>:<hex>"``, by name; the name is escaped.
        inputs: the input contract as it is spelt, JSON values with text raw; None where there is
            none. What they mean is for ``contracts.spelling`` to tell.
        extensions: fields of the predicate that this version does not know, as they were decoded
            (JSON values, text raw). They are encoded again byte for byte.
    """

    subject: str
    root: str
    container: str
    algorithm: str
    size: int
    chunk_size: int
    created: str
    files: tuple[Member, ...] = ()
    expires: str | None = None
    model: Mapping[str, str | None] = field(default_factory=lambda: {"name": None, "version": None})
    provenance: Mapping[str, str] = field(default_factory=dict)
    regions: tuple[Region, ...] = ()
    datasets: Mapping[str, str] = field(default_factory=dict)
    inputs: Any = None
    extensions: Mapping[str, Any] = field(default_factory=dict)

    def origin(self) -> dict[str, str]:
        """When the model was sealed, by whom and as what, for people; printable.

        ``"created"``, and where the seal says it ``"by"``, ``"name"`` and ``"version"``.
        """
        who = [self.provenance[key] for key in ("user", "host") if key in self.provenance]
        facts = {"created": self.created, "by": " on ".join(who), **self.model}
        return {name: text.escaped(fact) for name, fact in facts.items() if fact}


_KNOWN = frozenset(
    {
        "container",
        "algorithm",
        "size",
        "chunk_size",
        "files",
        "model",
        "created",
        "expires",
        "provenance",
        "regions",
        "datasets",
        "inputs",
    }
)


def encode(statement: Statement) -> bytes:
    """The statement as canonical JSON bytes.

    Raises:
        MalformedSealError: a value has no canonical form, an extension has the name of a field, or
            the container is none that is read again.
        LimitExceededError: the input contract is longer than one that is read again.
    """
    _refuse_unknown_container(statement)
    _refuse_long_contract(statement)
    if _KNOWN & statement.extensions.keys():
        raise MalformedSealError("an extension of the seal has the name of a field")
    # Not in the first seals of this version: a seal without them is spelt as it always was.
    later: dict[str, Any] = {"datasets": dict(statement.datasets)} if statement.datasets else {}
    if statement.inputs is not None:
        later["inputs"] = statement.inputs
    return canonical.encode(
        {
            "_type": _TYPE,
            "subject": [{"name": statement.subject, "digest": {_DIGEST: statement.root}}],
            "predicateType": _PREDICATE,
            "predicate": {
                **statement.extensions,
                "container": statement.container,
                "algorithm": statement.algorithm,
                "size": statement.size,
                "chunk_size": statement.chunk_size,
                "files": [list(member) for member in statement.files],
                "model": dict(statement.model),
                "created": statement.created,
                "expires": statement.expires,
                "provenance": dict(statement.provenance),
                "regions": [list(region) for region in statement.regions],
                **later,
            },
        }
    )


def decode(data: bytes) -> Statement:
    """The statement that ``data`` spells.

    Raises:
        MalformedSealError: a field is missing, of another type, or contradicts another.
        LimitExceededError: over a cap.
    """
    try:
        value = canonical.decode(data)
        if value["_type"] != _TYPE or value["predicateType"] != _PREDICATE:
            raise MalformedSealError("the seal holds a statement of an unknown type")
        (subject,) = value["subject"]
        predicate = value["predicate"]
        statement = Statement(
            subject=_shown(subject["name"]),
            root=_plain(subject["digest"][_DIGEST]),
            container=_plain(predicate["container"]),
            algorithm=_plain(predicate["algorithm"]),
            size=_count(predicate["size"]),
            chunk_size=_count(predicate["chunk_size"]),
            created=_plain(predicate["created"]),
            files=tuple(_member(one) for one in predicate["files"]),
            expires=_optional(predicate["expires"]),
            model={_plain(k): _optional(v) for k, v in predicate["model"].items()},
            provenance={_shown(k): _shown(v) for k, v in predicate["provenance"].items()},
            regions=tuple(_region(one) for one in predicate.get("regions", [])),
            datasets={_shown(k): _plain(v) for k, v in predicate.get("datasets", {}).items()},
            inputs=predicate.get("inputs"),
            extensions={k: v for k, v in predicate.items() if k not in _KNOWN},
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise MalformedSealError("the seal's statement lacks a field or has a wrong one") from error
    _consistent(statement)
    return statement


def files_digest(members: Sequence[Member]) -> str:
    """What stands for the names and sizes of a set's files, which its root does not bind.

    Returns:
        SHA-256 of the canonical JSON of ``[[name, size], …]``, hex; empty for no files.
    """
    if not members:
        return ""
    return hashlib.sha256(canonical.encode([list(member) for member in members])).hexdigest()


def spelled(moment: datetime) -> str:
    """A moment (UTC) as a statement's ``created`` and ``expires`` spell it, to the second."""
    return moment.strftime(_MOMENT)


def moment(text: str) -> datetime:
    """The moment (UTC) that :func:`spelled` spells so; raises ValueError where it spells none so.

    One spelling each: they are compared as texts, too.
    """
    if not _SPELLED.fullmatch(text):  # ISO 8601 has other forms, and an hour 24, as well
        raise ValueError("is not a moment as in 2027-01-31T12:00:00Z")
    return datetime.fromisoformat(text)


def _consistent(statement: Statement) -> None:
    _refuse_unknown_container(statement)
    if statement.container in SETS:
        _consistent_members(statement)
    elif statement.files:
        raise MalformedSealError("a single file's seal lists other files")
    if statement.size > LIMITS.content:
        raise LimitExceededError(f"the seal claims a content of {statement.size} bytes")
    if statement.algorithm not in tree.ALGORITHMS:
        raise MalformedSealError("the seal names an unknown digest algorithm")
    if statement.chunk_size != tree.chunk_size_for(statement.size):
        raise MalformedSealError("the seal's chunk size does not follow from its size")
    _consistent_map(statement)
    _refuse_long_contract(statement)


def _refuse_unknown_container(statement: Statement) -> None:
    if statement.container not in FILES + SETS:
        raise MalformedSealError("the seal names an unknown container")


def _refuse_long_contract(statement: Statement) -> None:
    if statement.inputs is not None and len(canonical.encode(statement.inputs)) > LIMITS.inputs:
        raise LimitExceededError(f"the seal's input contract is over {LIMITS.inputs} bytes")


def _consistent_map(statement: Statement) -> None:
    """Refuse a map that makes the search for damage longer than the content is.

    Files, members and variables lie within one another: a byte has a few names, not thousands.
    """
    if len(statement.regions) > LIMITS.stated_regions:
        raise LimitExceededError(f"the seal's map has {len(statement.regions)} names")
    covered = 0
    for region in statement.regions:
        covered += region.size
        if region.offset + region.size > statement.size:
            raise MalformedSealError("the seal's map names bytes beyond its content")
        if region.crc is not None and region.size >= 2 * statement.chunk_size:
            raise MalformedSealError("the seal's map has a CRC over whole chunks")
    if covered > LIMITS.region_layers * statement.size:
        raise LimitExceededError("the seal's map names the same bytes again and again")


def _consistent_members(statement: Statement) -> None:
    names = [member.name for member in statement.files]
    if len(names) > LIMITS.set_files:
        raise LimitExceededError(f"the seal lists {len(names)} files")
    if not names or names != sorted(set(names)):
        raise MalformedSealError("the seal's list of files is empty, unsorted or has duplicates")
    taken = set(names)
    for name in names:
        steps = name.split("/")
        # Before the loop over its parents, which copies the name once for each of them.
        if len(name) > LIMITS.set_name or len(steps) > LIMITS.set_depth + 2:
            raise LimitExceededError("the seal lists a file with too long or too deep a name")
        if any(step in ("", ".", "..") for step in steps) or "\\" in name or "\0" in name:
            raise MalformedSealError("the seal lists a file outside its directory")
        if any("/".join(steps[:depth]) in taken for depth in range(1, len(steps))):
            raise MalformedSealError("the seal lists a file as a directory too")
    if sum(member.size for member in statement.files) != statement.size:
        raise MalformedSealError("the sizes of the seal's files contradict its size")


def _member(value: Any) -> Member:
    name, size = value
    return Member(_text(name), _count(size))


def _region(value: Any) -> Region:
    name, offset, size, crc = value
    return Region(_shown(name), _count(offset), _count(size), None if crc is None else _count(crc))


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError("a string was expected")
    return value


def _shown(value: Any) -> str:
    shown = _text(value)
    return shown if shown.isprintable() else text.escaped(shown)


def _plain(value: Any) -> str:
    if text.has_controls(_text(value)):
        raise MalformedSealError("a name or date in the seal holds control characters")
    return str(value)


def _optional(value: Any) -> str | None:
    return None if value is None else _plain(value)


def _count(value: Any) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise TypeError("a natural number was expected")
    return value
