# SPDX-License-Identifier: Apache-2.0
"""What an audit says of one model, and how that is spelled in Parquet.

The schema is what other programs read: columns are added, and none changes its meaning. A text
stands as it was found, escaped only where it is no Unicode; whoever shows one escapes it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from datetime import datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Any, NamedTuple, Self

from keras_integrity_hook.limits import LIMITS

if TYPE_CHECKING:
    from pyarrow import Schema, Table
else:  # for those who look annotations up at run time
    Schema = Table = object


class State(StrEnum):
    """What the bytes of a model are."""

    SEALED = "sealed"
    """It has a seal, and its content matches."""
    UNSEALED = "unsealed"
    DAMAGED = "damaged"
    """Its content does not match its seal, or its structure is broken."""
    UNKNOWN = "unknown"
    """Nobody could look: it vanished, it cannot be read, or it is no model."""


class Outcome(StrEnum):
    """What a load here and now would come to; the worst of all that was found."""

    PASSED = "passed"
    REVIEW = "review"
    """It would load, and somebody should look at what the inspection found."""
    REFUSED = "refused"
    FAILED = "failed"
    """It could not be examined, or there was no model to be found: no good news, and nothing is
    said about one."""


class Refusal(NamedTuple):
    """One reason why a model is refused, or could not be examined.

    Attributes:
        code: of the error, ``"not-signed"``; docs/json-output.md lists them.
        cause: what is wrong, a sentence without a final stop; printable.
        remedy: what to do about it; printable.
    """

    code: str
    cause: str
    remedy: str


class Observation(NamedTuple):
    """One thing that the inspection found.

    Attributes:
        rule: which rule says so, ``"lambda-code"``.
        verdict: ``"fine"``, ``"review"`` or ``"refuse"``, as the settings judge it.
        sentence: what stands where, and what loading it would do; printable.
    """

    rule: str
    verdict: str
    sentence: str


@dataclass(frozen=True)
class Finding:
    """What is known of one model after it was examined.

    Times are UTC, sizes are in bytes; a text that nobody stated is empty.

    Attributes:
        location: its path or URL.
        state: what its bytes are.
        outcome: what a load would come to.
        examined: when.
        run: the run that it belongs to, see :mod:`fleet.results`; runs sort by time.
        size: of everything that is stored of it, its seal included.
        version: what tells this content from a later one at the same location: the store's entity
            tag, or size and time of the last change.
        bytes_read: from the store.
        seconds: that it took.
        container: ``"keras-zip"``, ``"hdf5"``, or the kind of a set; empty where nobody could tell.
        assurance: ``"signed"`` by a key that is trusted where it was examined, ``"integrity only"``
            for any other seal, ``"none"``.
        signers: names of those keys.
        algorithm: of the seal's digests.
        root: the seal's root digest, hex.
        sealed_at: when the seal says that it was made.
        expires: when the seal says that it ends.
        model: the name that the seal gives the model.
        model_version: its version there.
        is_registered: whether the registry that the policy names knows it; None where none was
            asked, or it did not answer.
        inspection: the worst verdict of the inspection, ``"fine"``, ``"review"`` or ``"refuse"``;
            empty where it was not inspected.
        observations: what the inspection found, the worst first.
        refusals: every reason to refuse it, the gravest first.
        damaged_parts: layers and files that do not match the seal, ``"layers/dense/vars/0"``.
    """

    location: str
    state: State
    outcome: Outcome
    examined: datetime
    run: str = ""
    size: int = 0
    version: str = ""
    bytes_read: int = 0
    seconds: float = 0.0
    container: str = ""
    assurance: str = "none"
    signers: tuple[str, ...] = ()
    algorithm: str = ""
    root: str = ""
    sealed_at: datetime | None = None
    expires: datetime | None = None
    model: str = ""
    model_version: str = ""
    is_registered: bool | None = None
    inspection: str = ""
    observations: tuple[Observation, ...] = ()
    refusals: tuple[Refusal, ...] = ()
    damaged_parts: tuple[str, ...] = ()

    def to_row(self) -> dict[str, Any]:
        """As values of :func:`schema`: texts are Unicode and, like lists, no longer than allowed.

        The location alone is never cut: it is what the model is found by.
        """
        row = {name: _bounded(value) for name, value in vars(self).items()}
        row["location"] = unicode(self.location)
        return row

    @classmethod
    def from_row(cls, row: Mapping[str, Any]) -> Self:
        """The finding of a row that was read, or of some of its columns; those of later versions
        are passed over."""
        known = {name: row[name] for name in _NAMES if name in row}
        known["state"], known["outcome"] = State(known["state"]), Outcome(known["outcome"])
        known["observations"] = tuple(Observation(**one) for one in row.get("observations") or ())
        known["refusals"] = tuple(Refusal(**one) for one in row.get("refusals") or ())
        for name in ("signers", "damaged_parts"):
            known[name] = tuple(row.get(name) or ())
        return cls(**known)


_NAMES = tuple(one.name for one in fields(Finding))


def schema() -> Schema:
    """The columns of the Parquet files, in the order of the fields of :class:`Finding`."""
    import pyarrow as pa

    text, word, number = pa.string(), pa.dictionary(pa.int32(), pa.string()), pa.int64()
    time = pa.timestamp("us", tz="UTC")
    types: dict[str, Any] = {
        "location": text,
        **dict.fromkeys(("state", "outcome", "run", "container", "assurance"), word),
        **dict.fromkeys(("algorithm", "inspection", "model"), word),
        **dict.fromkeys(("version", "root", "model_version"), text),
        **dict.fromkeys(("size", "bytes_read"), number),
        **dict.fromkeys(("examined", "sealed_at", "expires"), time),
        **dict.fromkeys(("signers", "damaged_parts"), pa.list_(text)),
        "seconds": pa.float64(),
        "is_registered": pa.bool_(),
        "observations": pa.list_(_texts(Observation)),
        "refusals": pa.list_(_texts(Refusal)),
    }
    may_be_null = ("sealed_at", "expires", "is_registered")
    return pa.schema([pa.field(name, types[name], name in may_be_null) for name in _NAMES])


def table(findings: Iterable[Finding]) -> Table:
    """``findings`` as a table of :func:`schema`."""
    import pyarrow as pa

    return pa.Table.from_pylist([one.to_row() for one in findings], schema())


_LARGEST = 2**63 - 1


def _texts(value: type[Observation] | type[Refusal]) -> Any:
    import pyarrow as pa

    return pa.struct([(name, pa.string()) for name in value._fields])


def _bounded(value: Any) -> Any:
    if isinstance(value, str):
        return unicode(value[: LIMITS.finding_text])
    if isinstance(value, Observation | Refusal):
        return {name: _bounded(text) for name, text in value._asdict().items()}
    if isinstance(value, tuple):
        return [_bounded(one) for one in value[: LIMITS.finding_items]]
    if isinstance(value, int):  # a store may say that it has more bytes than there are numbers
        return min(max(value, 0), _LARGEST)
    return value


def unicode(text: str) -> str:
    """``text`` with what is no Unicode, a file name's stray bytes, escaped."""
    return text.encode("utf-8", "backslashreplace").decode()
