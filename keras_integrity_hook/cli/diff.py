# SPDX-License-Identifier: Apache-2.0
"""``diff``: where a model differs from a good copy of it, variable by variable."""

from __future__ import annotations

import sys
from collections import Counter

import click

from keras_integrity_hook.cli import output
from keras_integrity_hook.cli.inspection import shape_of
from keras_integrity_hook.cli.output import json_option
from keras_integrity_hook.containers.parts import Part
from keras_integrity_hook.errors import IntegrityError, printable
from keras_integrity_hook.texts import plural
from keras_integrity_hook.verification.comparison import compare_paths
from keras_integrity_hook.verification.differences import Comparison, Difference, to_dict

_SHOWN = 40


@click.command()
@click.argument("good", type=click.Path())
@click.argument("bad", type=click.Path())
@json_option
def diff(good: str, bad: str, as_json: bool) -> None:
    """Say where the model BAD differs from GOOD, a copy of it that is in order.

    Both may be any kind of model: a file, a directory, shards, a checkpoint's prefix. Seals are not
    compared. Of a file that is damaged beyond being a model the bytes are compared as they are.
    Exit status: 0 they are the same, 1 they differ.
    """
    try:
        found = compare_paths(good, bad)
    except IntegrityError as error:
        output.failed("diff", error, as_json=as_json)
    same = not found.differences
    if as_json:
        differences = [to_dict(one) for one in found.differences]
        output.emit(
            "diff",
            ok=same,
            good=good,
            bad=bad,
            differences=differences,
            parts=found.parts,
            bytes=found.bytes,
            laid_out_alike=found.is_laid_out_alike,
            damage=found.damage or None,
        )
    else:
        _print(found, bad)
    sys.exit(output.OK if same else output.REFUSED)


def _print(found: Comparison, bad: str) -> None:
    output.state("different" if found.differences else "same", bad, good=not found.differences)
    if found.damage:
        output.detail(f"It is no whole model any more: {found.damage}. Compared as it is.")
    for one in found.differences[:_SHOWN]:
        _print_one(one)
    if len(found.differences) > _SHOWN:
        output.detail(f"and {len(found.differences) - _SHOWN} parts more (--json lists all)")
    output.detail(_total(found))
    if not found.is_laid_out_alike:
        output.detail("The two are laid out differently: only what has a name was compared.")


def _print_one(one: Difference) -> None:
    output.detail(f"{printable(one.name)}{_described(one.part)}: {_how(one)}", indent=2)
    if one.largest is not None:
        index = ", ".join(map(str, one.largest.index))
        before, after = one.largest.before, one.largest.after
        output.detail(f"  largest change at [{index}]: {before:.6g} became {after:.6g}", indent=2)
    if one.not_finite:
        output.detail(f"  {plural(one.not_finite, 'number')} became infinite or no number")
    if one.first is not None and one.kind == "changed":
        where = f"{one.at:,} of the file" if one.at is not None else f"{one.first:,} of the content"
        output.detail(f"  first at byte {where}")


def _described(part: Part) -> str:
    shape = shape_of(part)
    return f" {shape} {part.dtype}" if shape else ""


def _how(one: Difference) -> str:
    if one.kind == "reshaped" and one.other is not None:
        new = _described(one.other).strip()
        return f"is {new or plural(one.other.size, 'byte')} now"
    if one.kind == "rearranged":
        return "not the same; it holds what is no variable, such as a model's configuration"
    if one.kind in ("missing", "added", "cut off", "longer") and not one.bytes:
        return one.kind
    counts = f"{plural(one.bytes, 'byte')}, {plural(one.bits, 'bit')}"
    if one.part.dtype:
        counts = f"{one.values:,} of {plural(one.part.numbers, 'value')}; {counts}"
    if one.is_structure:
        counts += " outside of all parts"
    return counts if one.kind == "changed" else f"{one.kind}; {counts}"


def _total(found: Comparison) -> str:
    compared = f"{plural(found.parts, 'part')} and {plural(found.bytes, 'byte')} compared"
    if not found.differences:
        return f"{compared}: the same."
    kinds = Counter(one.kind for one in found.differences if not one.is_structure)
    told = [f"{plural(number, 'part')} {kind}" for kind, number in kinds.items()]
    wrong = sum(one.bytes for one in found.differences)
    bits = sum(one.bits for one in found.differences)
    if wrong:
        told.append(f"{plural(wrong, 'byte')} ({plural(bits, 'bit')}) differ")
    return f"{compared}: {', '.join(told) or 'the structure differs'}."
