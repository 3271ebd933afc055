# SPDX-License-Identifier: Apache-2.0
"""``inspect``: what a seal says, and what the model consists of."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from keras_integrity_hook import api
from keras_integrity_hook.cli import files, output
from keras_integrity_hook.cli.files import paths_argument
from keras_integrity_hook.cli.output import Result, json_option
from keras_integrity_hook.containers.model_file import SealedModel
from keras_integrity_hook.errors import ChecksumMismatchError, IntegrityError
from keras_integrity_hook.sealing.text import escaped
from keras_integrity_hook.texts import plural, with_path

if TYPE_CHECKING:
    from keras_integrity_hook.containers.parts import Part
    from keras_integrity_hook.report import InspectionInfo, Report, SealInfo
else:  # for those who look annotations up at run time
    Part = InspectionInfo = Report = SealInfo = object

_VALUE_SHOWN = 200  # characters
_PARTS_SHOWN = 40
_UNCHECKED = "Seal present, content not checked: 'keras-integrity verify PATH' does that."


@click.command()
@paths_argument
@click.option(
    "--digest", is_flag=True, help="Read all of the content too, and compare it with the seal."
)
@json_option
def inspect(paths: tuple[str, ...], digest: bool, as_json: bool) -> None:
    """Show what seals say and what models consist of, without checking the content.

    Whether the content matches is for verify to tell; with --digest it is compared here, too.
    """

    def read(path: str) -> Result:
        report = api.inspect(path, digest=digest)
        if report.is_intact is False:
            return Result(path, "damaged", report, error=_mismatch(report))
        if report.seal is None or report.is_intact:
            return Result(path, report.state, report, note=files.hint(report))
        return Result(path, "not-checked", report, note=with_path(_UNCHECKED, path))

    files.run("inspect", paths, read, as_json=as_json, show=_show)


def _mismatch(report: Report) -> ChecksumMismatchError:
    """What differs, by name: the content is read once more to tell."""
    from keras_integrity_hook.loading import at_hand
    from keras_integrity_hook.verification import digests

    error = ChecksumMismatchError(
        "the content does not match its seal", path=report.path, container=report.container
    )
    try:
        with at_hand.to_read(report.path) as name, api.opened(name) as model:
            if isinstance(model, SealedModel):
                digests.check_content(model)
    except ChecksumMismatchError as named:
        error = named
    error.content_digest = report.digest
    return error


def _show(result: Result) -> None:
    output.show(result)
    if result.report is None:
        return
    if result.report.seal is not None:
        output.facts(_facts(result.report, result.report.seal))
    elif result.report.digest:
        output.facts([("content is", result.report.digest)])
    _show_parts(result.report.parts)
    _show_inspection(result.report.inspection)


def _show_inspection(inspection: InspectionInfo | None) -> None:
    """What ``scan`` would say; nothing where all is fine."""
    from keras_integrity_hook.cli import scanning

    if inspection is None:
        return
    if inspection.trouble:
        output.detail(f"What loading it would do cannot be told: {inspection.trouble}.")
    elif inspection.findings:
        output.detail(f"Verdict on what loading it would do: {inspection.verdict}.")
        scanning.show_findings(inspection)


def _facts(report: Report, seal: SealInfo) -> list[tuple[str, object]]:
    """Names and values of what is worth a line."""
    versions, facts = _provenance(seal)
    trusted = ", ".join(report.signers) or "none of them"
    told: list[tuple[str, object]] = [
        ("container", seal.container),
        ("files", len(seal.files) or ""),
        ("not covered", ", ".join(report.others)),
        ("sealed as", seal.subject),
        ("model", _named(seal) if seal.model or seal.model_version else ""),
        ("created", seal.created),
        ("expires", seal.expires or ""),
        ("assurance", report.assurance),
        ("signatures", seal.signatures or "none"),
        ("trusted", trusted if seal.signatures else ""),
        ("content", f"{seal.size:,} bytes, digested in chunks of {seal.chunk_size:,}"),
        ("root", f"{seal.algorithm}:{seal.root}"),
        ("content is", _compared(report)),
        ("seal block", f"{seal.block_size:,} bytes {_where(seal)}"),
        ("written by", versions or "unknown"),
        *facts,
        *((f"data {name}", digest) for name, digest in seal.datasets.items()),
        *_inputs(seal),
        *((f"field {escaped(name)}", _spelt(value)) for name, value in seal.extensions.items()),
    ]
    return [(name, value) for name, value in told if value != ""]


def _inputs(seal: SealInfo) -> list[tuple[str, object]]:
    """The input contract, one line for each input."""
    if seal.inputs is None:
        return []
    from keras_integrity_hook.cli import contract

    try:
        return list(contract.lines(seal.inputs))
    except IntegrityError as error:
        return [("inputs", error.cause)]


def _compared(report: Report) -> str:
    if report.digest is None:
        return ""
    return f"{report.digest}, {'as sealed' if report.is_intact else 'NOT as sealed'}"


def _show_parts(parts: tuple[Part, ...]) -> None:
    """Each part once: name, shape, type and size; then how many there are."""
    shown = parts[:_PARTS_SHOWN]
    width = max((len(part.name) for part in shown), default=0)
    for part in shown:
        what = f"{shape_of(part)} {part.dtype}".strip()
        output.detail(f"  {part.name:<{width}}  {what}{', ' if what else ''}{part.size:,} bytes")
    if len(parts) > len(shown):
        output.detail(f"  and {len(parts) - len(shown)} more (--json lists all)")
    numbers = sum(part.numbers for part in parts)
    size = sum(part.size for part in parts)
    if parts:
        output.detail(
            f"{plural(len(parts), 'part')}, {plural(numbers, 'number')}, {plural(size, 'byte')}"
        )


def shape_of(part: Part) -> str:
    """``(16, 64)``; empty for what has no shape that is understood."""
    if part.shape is None or not part.dtype:
        return ""
    return f"({', '.join(map(str, part.shape))}{',' if len(part.shape) == 1 else ''})"


def _spelt(value: Any) -> str:
    """A JSON value of a field that this version does not know, on one line."""
    import json

    text = json.dumps(value)
    return text if len(text) <= _VALUE_SHOWN else f"{text[:_VALUE_SHOWN]} ... (--json shows all)"


def _where(seal: SealInfo) -> str:
    if seal.store == "embedded":
        return f"at offset {seal.block_offset:,}"
    return "in a file beside it" if seal.store == "sidecar" else "in a file of its own"


def _named(seal: SealInfo) -> str:
    return " ".join(filter(None, (seal.model or "(no name)", seal.model_version)))


def _provenance(seal: SealInfo) -> tuple[str, list[tuple[str, object]]]:
    """The versions of what wrote the seal, in words, and the rest that it says."""
    from keras_integrity_hook.saving.provenance import VERSIONS

    said = seal.provenance.items()
    versions = ", ".join(f"{key} {text}" for key, text in said if key in VERSIONS)
    return versions, [(key, text) for key, text in said if key not in VERSIONS]
