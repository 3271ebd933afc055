# SPDX-License-Identifier: Apache-2.0
"""``vet``: try a model where it can hurt nobody, and say what came of that."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import click

from keras_integrity_hook.cli import output
from keras_integrity_hook.cli.output import json_option
from keras_integrity_hook.cli.signing import prompt
from keras_integrity_hook.errors import ConfigurationError, IntegrityError
from keras_integrity_hook.isolation import hosts
from keras_integrity_hook.texts import plural

if TYPE_CHECKING:
    from keras_integrity_hook.sandbox.summaries import Signed
    from keras_integrity_hook.sandbox.vetting import Vetting
else:  # for those who look annotations up at run time
    Signed = Vetting = object

_SHOWN = 12  # attempts, and findings
_ADVICE = {
    "review": "A person has to look at it: 'keras-integrity scan PATH' shows what was found.",
    "refused": "Do not load it outside a sandbox: ask whoever made it what this is for.",
}


@click.command()
@click.argument("model", type=click.Path())
@click.option(
    "--sign", "key", metavar="KEY", help="Sign the verdict; path, env:NAME or signer URI."
)
@click.option(
    "--host",
    type=click.Choice(hosts.HOSTS),
    help="What loads it; by default TensorFlow for a SavedModel and Keras for the rest.",
)
@click.option(
    "--seconds",
    type=click.FloatRange(min=1),
    default=300.0,
    show_default=True,
    help="How long it may take to load, and to answer.",
)
@json_option
def vet(model: str, key: str | None, host: str | None, seconds: float, as_json: bool) -> None:
    """Look into a model, load it in a sandbox, ask it there, and say what it tried.

    In the sandbox its code runs, with safe_mode=False: it reads no file, writes none, starts no
    program and reaches no network, and whatever it tries is told. Models are asked twice with
    made-up input, zeros and random values of the shapes that they state.

    The verdict is passed, review (a person has to look at it) or refused. With --sign it is written
    beside the model, for policies with require = "vetted".
    """
    try:
        found = _vetted(model, host, seconds)
    except IntegrityError as error:
        output.failed("vet", error, as_json=as_json)
    signed, unsigned = _signed(found, key) if key else (None, None)
    if as_json:
        _emit(found, signed, unsigned)
    else:
        _show(found, signed, unsigned)
    if isinstance(unsigned, ConfigurationError):
        sys.exit(output.USAGE)
    sys.exit(output.OK if found.passed and unsigned is None else output.REFUSED)


def _vetted(model: str, host: str | None, seconds: float) -> Vetting:
    from keras_integrity_hook.isolation.sandbox_limits import SandboxLimits
    from keras_integrity_hook.sandbox import vetting

    return vetting.vet(model, host=host, limits=SandboxLimits(seconds=seconds))


def _signed(found: Vetting, key: str) -> tuple[Signed | None, IntegrityError | None]:
    """What was written, or why nothing was: the verdict is told in any case."""
    from keras_integrity_hook.sandbox import summaries

    try:
        return summaries.sign(found, key, ask=prompt()), None
    except IntegrityError as error:
        return None, error


def _emit(found: Vetting, signed: Signed | None, unsigned: IntegrityError | None) -> None:
    facts: dict[str, Any] = {"path": found.path, "vetting": found.to_dict()}
    facts["signed"] = None if signed is None else signed._asdict()
    if unsigned is not None:
        facts["signed"] = {"error": unsigned.to_dict()}
    output.emit("vet", ok=found.passed and unsigned is None, **facts)


def _show(found: Vetting, signed: Signed | None, unsigned: IntegrityError | None) -> None:
    outcome = str(found.outcome)
    output.state(outcome, found.path, good=outcome != "refused")
    for reason in found.reasons:
        output.detail(f"{reason[:1].upper()}{reason[1:]}.")
    if found.attempts:
        _show_attempts(found)
    versions = ", ".join(f"{name} {version}" for name, version in found.versions.items())
    told = [("did", ", ".join(found.steps)), ("content", found.digest), ("by", versions)]
    if signed is not None:
        told += [("signed", signed.path), ("key id", signed.keyid)]
    output.facts(told)
    for fact in () if unsigned is None else unsigned.facts():
        output.detail(fact)
    if outcome in _ADVICE:
        output.detail(_ADVICE[outcome])


def _show_attempts(found: Vetting) -> None:
    output.detail("It tried, and was refused:")
    for one in found.attempts[:_SHOWN]:
        times = f" ({plural(one.times, 'time')})" if one.times > 1 else ""
        output.detail(f"  {one}{times}", indent=4)
    more = len(found.attempts) - _SHOWN
    if more > 0:
        output.detail(f"  {plural(more, 'other thing')} (--json lists all)")
