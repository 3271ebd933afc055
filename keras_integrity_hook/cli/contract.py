# SPDX-License-Identifier: Apache-2.0
"""``contract``: the input contract in a model's seal, and data held against it."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Any

import click

from keras_integrity_hook import api
from keras_integrity_hook.cli import files, output
from keras_integrity_hook.cli.group import Group
from keras_integrity_hook.cli.output import Listing, Result, json_option, quiet_option
from keras_integrity_hook.contracts import sealed
from keras_integrity_hook.contracts.contract import InputContract
from keras_integrity_hook.errors import (
    ConfigurationError,
    IntegrityError,
    UnreadableFileError,
    UnsealedModelError,
    printable,
)
from keras_integrity_hook.limits import LIMITS
from keras_integrity_hook.texts import plural

if TYPE_CHECKING:
    from keras_integrity_hook.contracts.input_rules import InputRules
    from keras_integrity_hook.report import Report
else:  # for those who look annotations up at run time
    InputRules = Report = object

_SET = "'keras-integrity contract set CONTRACT PATH' puts one into the seal."
_NO_CONTRACT = f"No input contract: {_SET}"
_UNKNOWN = "This version does not know, and does not check: {}."
_VALUES_SHOWN = 8


@click.group(cls=Group)
def contract() -> None:
    """Say what a model may be asked, and see whether data keeps to it.

    An input contract stands in the model's seal and is signed with it. Where the model is loaded,
    inputs that break it are refused.
    """


@contract.command()
@files.paths_argument
@json_option
def show(paths: tuple[str, ...], as_json: bool) -> None:
    """Show the input contracts of models.

    With --json a contract is the field "inputs" of a report's seal, in the form that 'set' reads.
    """

    def read(path: str) -> Result:
        report = api.inspect(path)
        said = _inputs(report)
        sealed.from_seal(said)  # raises where it is none
        if report.seal is None:
            return Result(path, "unsealed", report, note=files.hint(report))
        if said is None:
            return Result(path, "no-contract", report, note=_NO_CONTRACT)
        return Result(path, "contract", report)

    files.run("contract show", paths, read, as_json=as_json, show=_show)


@contract.command("set")
@click.argument("contract_file", metavar="CONTRACT", type=click.Path())
@files.paths_argument
@quiet_option
@json_option
def set_(contract_file: str, paths: tuple[str, ...], quiet: bool, as_json: bool) -> None:
    """Put the contract in a file into the seals of models.

    All else that a seal says stays, and so does the model. Signatures over the old seal go; where a
    key is configured the model is signed anew. CONTRACT is JSON, "-" standard input: 'contract
    infer' makes one, and 'contract schema' prints its JSON Schema.
    """
    try:
        stated = InputContract.from_dict(_json_of(contract_file))
    except IntegrityError as error:
        output.failed("contract set", error, as_json=as_json, status=output.USAGE)

    def put(path: str) -> Result:
        return Result(path, "contract-set", api.set_contract(path, stated))

    listing = Listing.of(quiet=quiet)
    files.run("contract set", paths, put, as_json=as_json, show=_show, listing=listing)


@contract.command()
@files.paths_argument
@quiet_option
@json_option
def remove(paths: tuple[str, ...], quiet: bool, as_json: bool) -> None:
    """Take the contracts out of the seals of models.

    All else that a seal says stays. Signatures go, as with 'contract set'.
    """

    def take(path: str) -> Result:
        report = api.inspect(path)
        if report.seal is not None and report.seal.inputs is None:
            return Result(path, "no-contract", report)
        return Result(path, "contract-unset", api.set_contract(path, None))

    listing = Listing.of(quiet=quiet)
    files.run("contract remove", paths, take, as_json=as_json, listing=listing)


@contract.command()
@click.argument("data", type=click.Path())
@click.option(
    "--margin",
    type=click.FloatRange(min=0),
    default=0.0,
    show_default=True,
    help="How far beyond DATA numbers may be, as a share of their range.",
)
@click.option("--columns", is_flag=True, help="Each column of a table is an input of its own.")
@click.option("--output", "target", metavar="FILE", type=click.Path(), help="Write it there.")
def infer(data: str, margin: float, columns: bool, target: str | None) -> None:
    """Make a contract of DATA, and print it as JSON.

    DATA is what a model was trained on: .npy, .npz (an input for each array) or, where pandas is
    installed, .csv or .parquet (one input, a table). Look at the contract, change it, and put it
    into a seal with 'contract set'. Nothing in DATA is unpickled.
    """
    from keras_integrity_hook.cli import data_files

    try:
        found = data_files.read(data)
        if columns and hasattr(found, "columns"):
            found = data_files.by_columns(found)
        made = InputContract.from_data(found, margin=margin)
        text = json.dumps(made.to_dict(), indent=2, ensure_ascii=False) + "\n"
        if target is None:
            click.echo(text, nl=False)
            return
        _write_new(target, text)
    except IntegrityError as error:
        output.failed("contract infer", error, as_json=False)
    output.state("made", target)
    _show_contract(made)


@contract.command()
@click.argument("path", metavar="MODEL", type=click.Path())
@click.argument("data", type=click.Path())
@quiet_option
@json_option
def check(path: str, data: str, quiet: bool, as_json: bool) -> None:
    """Hold DATA against the contract of MODEL.

    The model is not loaded. DATA is what 'contract infer' reads. Exit status 1 where it breaks the
    contract, or where MODEL has none or does not match its seal.
    """
    from keras_integrity_hook.cli import data_files

    try:
        report = api.verify(path)
        found, unknown = sealed.from_seal(_inputs(report))
        if found is None:
            raise UnsealedModelError(
                "the model has no input contract", path=path, remedy=_NO_CONTRACT
            )
        found.check(data_files.read(data))
    except IntegrityError as error:
        error.path = error.path or path
        output.failed("contract check", error, as_json=as_json)
    if as_json:
        output.emit("contract check", ok=True, path=path, data=data, unknown=list(unknown))
    elif not quiet:
        output.state("kept", data)
        _tell_unknown(unknown)


@contract.command()
def schema() -> None:
    """Print the JSON Schema of contracts (draft 2020-12)."""
    from importlib.resources import files as resources

    text = (resources("keras_integrity_hook.contracts") / "input-contract.schema.json").read_text()
    click.echo(text, nl=False)


def lines(inputs: Any) -> list[tuple[str, str]]:
    """Name and rules of each input of a contract as a seal spells it, for people; not escaped."""
    found, unknown = sealed.from_seal(inputs)
    told = [(f"input {rules.name}", spoken(rules)) for rules in found or ()]
    return [*told, ("input rules", _UNKNOWN.format(", ".join(unknown)))] if unknown else told


def spoken(rules: InputRules) -> str:
    """The rules for one input, on one line: ``float (None, 784), finite, 0 to 1``."""
    shape = "any shape" if rules.shape is None else f"({', '.join(map(str, rules.shape))})"
    facts = [f"{rules.kind or 'any kind'} {shape}"]
    if rules.finite and rules.kind in (None, "float", "complex"):
        facts.append("finite")
    facts += _spoken_bounds(rules)
    if rules.allowed is not None:
        shown = ", ".join(map(repr, rules.allowed[:_VALUES_SHOWN]))
        more = len(rules.allowed) - _VALUES_SHOWN
        facts.append(f"one of {shown}{f' and {more} more' if more > 0 else ''}")
    if rules.maximum_length is not None:
        facts.append(f"at most {plural(rules.maximum_length, 'character')}")
    return ", ".join([*facts, *(["optional"] if rules.optional else [])])


def _spoken_bounds(rules: InputRules) -> list[str]:
    low, high = rules.minimum, rules.maximum
    if low is not None and high is not None:
        return [f"{low} to {high}"]
    if low is not None:
        return [f"{low} or more"]
    return [] if high is None else [f"{high} or less"]


def _show(result: Result) -> None:
    output.show(result)
    if result.ok and result.report is not None:
        facts = lines(_inputs(result.report))
        if facts:
            output.facts(facts)


def _show_contract(made: InputContract) -> None:
    output.facts([(f"input {rules.name}", spoken(rules)) for rules in made])


def _tell_unknown(unknown: tuple[str, ...]) -> None:
    if unknown:
        output.detail(_UNKNOWN.format(", ".join(unknown)))


def _inputs(report: Report) -> Any:
    return None if report.seal is None else report.seal.inputs


def _json_of(path: str) -> Any:
    """The JSON value in the file at ``path``.

    Raises:
        UnreadableFileError: there is no such file. ConfigurationError: it holds something else.
    """
    try:
        if path == "-":
            data = sys.stdin.buffer.read(2 * LIMITS.inputs + 1)
        else:
            with open(path, "rb") as file:
                data = file.read(2 * LIMITS.inputs + 1)
    except OSError as error:
        raise UnreadableFileError(error.strerror or str(error), path=path) from None
    if len(data) > 2 * LIMITS.inputs:
        raise _no_contract(path, f"longer than any, {2 * LIMITS.inputs:,} bytes")
    try:
        return json.loads(data)
    except (ValueError, RecursionError) as error:
        raise _no_contract(path, str(error)) from None


def _no_contract(path: str, cause: str) -> ConfigurationError:
    remedy = "'keras-integrity contract infer' makes one, 'contract schema' says what it is."
    return ConfigurationError(f"it is no contract: {printable(cause)}", path=path, remedy=remedy)


def _write_new(path: str, text: str) -> None:
    try:
        with open(path, "x", encoding="utf-8") as file:
            file.write(text)
    except OSError as error:
        raise UnreadableFileError(error.strerror or str(error), path=path) from None
