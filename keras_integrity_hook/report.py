# SPDX-License-Identifier: Apache-2.0
"""What is told about a model: by the API, and by the command line after it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import TYPE_CHECKING, Any

from keras_integrity_hook import settings
from keras_integrity_hook.containers import file_set
from keras_integrity_hook.containers.model_file import ModelFile, SealedModel
from keras_integrity_hook.errors import printable
from keras_integrity_hook.inspection.findings import Finding, Verdict, worst
from keras_integrity_hook.policy import evidence
from keras_integrity_hook.saving import settled
from keras_integrity_hook.sealing.statement import Member, Region
from keras_integrity_hook.texts import plural
from keras_integrity_hook.verification import pinning

if TYPE_CHECKING:
    from keras_integrity_hook.containers.parts import Part
else:  # for those who look annotations up at run time
    Part = object


@dataclass(frozen=True, repr=False)
class SealInfo:
    """What a seal says. Sizes and offsets are in bytes; ``root`` is hex; times are UTC.

    ``store`` is where it is: ``"embedded"`` in the file, ``"sidecar"`` in a file beside it, or
    ``"set"`` for a model of several files, which has a file for it. ``model`` and
    ``model_version`` name the model, ``provenance`` says how it came about, and ``datasets`` what
    it was trained on, by digest. ``inputs`` is the input contract, None where there is none, and
    ``extensions`` are fields that this version does not know: JSON values as the seal spells them.
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
    extensions: Mapping[str, Any] = field(default_factory=dict)
    inputs: Any = None

    def facts(self) -> list[tuple[str, str]]:
        """Name and value of what is worth a line, for people; not escaped."""
        named = " ".join(filter(None, (self.model, self.model_version)))
        return [
            *([("model", named)] if named else []),
            ("sealed", self.created),
            ("content", f"{self.size:,} bytes"),
            ("root", f"{self.algorithm}:{self.root}"),
        ]

    def __repr__(self) -> str:
        signed = plural(self.signatures, "signature")
        return short_repr(self, f"{self.algorithm}:{self.root[:12]}…", self.created, signed)

    def _repr_html_(self) -> str:
        return html_table(self.subject, self.facts())


@dataclass(frozen=True, repr=False)
class InspectionInfo:
    """What loading a model would do, as far as its bytes say, and what that amounts to here.

    Attributes:
        findings: with the verdicts that the settings give them; without what they allow by name.
        bytes_read: how much of the model it took to find out.
        trouble: why the model could not be inspected, a sentence; empty where it was.
    """

    findings: tuple[Finding, ...]
    bytes_read: int = 0
    trouble: str = ""

    @property
    def verdict(self) -> Verdict:
        """The worst of the findings; to refuse it where nobody could look."""
        return Verdict.REFUSE if self.trouble else worst(self.findings)

    def to_dict(self) -> dict[str, Any]:
        """JSON-able values."""
        return {
            "verdict": str(self.verdict),
            "findings": [finding.to_dict() for finding in self.findings],
            "bytes_read": self.bytes_read,
            "trouble": self.trouble,
        }

    def __repr__(self) -> str:
        return short_repr(self, str(self.verdict), plural(len(self.findings), "finding"))


@dataclass(frozen=True, repr=False)
class Report:
    """The state of one model, a file or a set of files.

    Attributes:
        path: as given.
        state: ``"sealed"`` or ``"unsealed"``; damaged models raise instead. ``"overridden"`` for
            one that would be refused but for an ``override``.
        container: its form, as a seal states it: ``"keras-zip"``, ``"hdf5"``, or the kind of a
            set, such as ``"saved-model"``; docs/seal-format.md has them all.
        assurance: ``"signed"`` where somebody has signed whom this machine trusts,
            ``"integrity only"`` for any other seal, ``"none"`` without one.
        seal: what the seal says, None for an unsealed model.
        others: files beside those of a set that its seal does not cover and no loader reads.
        signers: names of the trusted keys whose signatures on the seal are good now.
        digest: that of the content as it is, ``"sha256:<hex>"``, where it was asked for.
        is_intact: whether the content matches the seal; None where it was not compared with it, or
            there is no seal.
        parts: the variables and files of the model, in the order of its content; of ``inspect``.
        inspection: what loading it would do; of ``scan`` and ``inspect``, else None.
        contradiction: what of it contradicts what this machine saw at its path before, a clause; of
            ``verify``, else empty.
    """

    path: str
    state: str
    container: str
    assurance: str
    seal: SealInfo | None
    others: tuple[str, ...] = ()
    signers: tuple[str, ...] = ()
    digest: str | None = None
    is_intact: bool | None = None
    parts: tuple[Part, ...] = ()
    inspection: InspectionInfo | None = None
    contradiction: str = ""

    def to_dict(self) -> dict[str, Any]:
        """JSON-able values."""
        told = asdict(replace(self, inspection=None))
        told["parts"] = [part._asdict() for part in self.parts]
        return told if self.inspection is None else told | {"inspection": self.inspection.to_dict()}

    def facts(self) -> list[tuple[str, str]]:
        """Name and value of what is worth a line, for people; not escaped."""
        signed = ", ".join(self.signers)
        told = [
            ("state", self._state()),
            ("container", self.container),
            ("assurance", f"{self.assurance} by {signed}" if signed else self.assurance),
        ]
        return told if self.seal is None else [*told, *self.seal.facts()]

    def _state(self) -> str:
        """In words: a seal that nobody has compared with the content is no good news."""
        if self.state != "sealed" or self.is_intact:
            return self.state
        return f"sealed, content {'not checked' if self.is_intact is None else 'NOT as sealed'}"

    def __repr__(self) -> str:
        return short_repr(self, printable(self.path), *(value for _, value in self.facts()[:3:2]))

    def _repr_html_(self) -> str:
        return html_table(self.path, self.facts())


def short_repr(value: object, *facts: str) -> str:
    """``<Kind fact, fact>``; all of it is in the attributes."""
    return f"<{type(value).__name__} {printable(', '.join(facts))}>"


def html_table(title: str, facts: Iterable[tuple[str, str]]) -> str:
    """For notebooks: names and values in two columns, escaped."""
    from html import escape

    rows = "".join(
        f"<tr><th style='text-align:left'>{escape(name)}</th>"
        f"<td style='text-align:left'>{escape(printable(value))}</td></tr>"
        for name, value in facts
    )
    return f"<table><caption><b>{escape(printable(title))}</b></caption>{rows}</table>"


def report_on(model: ModelFile) -> Report:
    """The state of an open model: what its seal says, whether or not the content matches."""
    others = tuple(map(file_set.shown, model.files.others)) if model.files else ()
    if not isinstance(model, SealedModel):
        return Report(model.path, "unsealed", model.container, "none", None, others)
    statement = model.seal.statement
    info = SealInfo(
        container=statement.container,
        algorithm=statement.algorithm,
        root=statement.root,
        size=statement.size,
        chunk_size=statement.chunk_size,
        chunks=-(-statement.size // statement.chunk_size),
        subject=statement.subject,
        created=statement.created,
        signatures=len(model.seal.envelope.signatures),
        files=statement.files,
        block_offset=model.seal.offset,
        block_size=model.seal.size,
        store="set" if model.files else settled.store_of(model.seal).value,
        provenance=dict(statement.provenance),
        regions=statement.regions,
        model=statement.model.get("name"),
        model_version=statement.model.get("version"),
        expires=statement.expires,
        datasets=dict(statement.datasets),
        extensions=dict(statement.extensions),
        inputs=statement.inputs,
    )
    signers = _signers(model)
    assurance = "signed" if signers else "integrity only"
    return Report(model.path, "sealed", model.container, assurance, info, others, signers)


def _signers(model: SealedModel) -> tuple[str, ...]:
    if not model.seal.envelope.signatures:
        return ()
    found = evidence.signers_of(model.seal, settings.at(model.path))
    return tuple(signer.name for signer in found)


def report_on_overridden(pinned: SealedModel) -> Report:
    """The report on a model that somebody named by the digest of what it is."""
    digest = pinning.content_digest(pinned.seal)
    return Report(pinned.path, "overridden", pinned.container, "override", seal=None, digest=digest)
