# SPDX-License-Identifier: Apache-2.0
"""``status`` of this process, and ``doctor``: is the hook armed in a fresh interpreter?"""

from __future__ import annotations

import contextlib
import os
import sys
from collections import Counter
from typing import Any

import click

from keras_integrity_hook import settings
from keras_integrity_hook.cli import finding, output, settings_shown, trials
from keras_integrity_hook.cli.diagnosis import Verdict, diagnose, verdict
from keras_integrity_hook.cli.finding import Finding, Level
from keras_integrity_hook.cli.output import json_option
from keras_integrity_hook.errors import IntegrityError
from keras_integrity_hook.settings import layers
from keras_integrity_hook.texts import plural

_SECONDS = 300


@click.command()
@json_option
def status(as_json: bool) -> None:
    """Show whether this very process is protected, what is in force here, and whether that works.

    Exit status 1 where it is not protected, or a log, a key, a signer, a vetter or a sandbox that
    the settings want is not to be had.
    """
    from keras_integrity_hook.activation.state import status as current

    try:
        in_force, findings = _in_force()
        now = current()
    except IntegrityError as error:
        output.misconfigured("status", error, as_json=as_json)
    guarded = now.armed and in_force.mode is not settings.Mode.OFF
    ok = guarded and not any(found.fatal for found in findings)
    installed = _keras_version()
    if as_json:
        fields = {"armed": now.armed, "mode": in_force.mode, "unsealed": in_force.unsealed}
        fields |= {"keras": installed, "python": sys.executable, **settings_shown.facts(in_force)}
        found = [one.to_dict() for one in findings]
        output.emit("status", ok=ok, **fields, findings=found)
    else:
        finding.verdict(_said_of_process(guarded, findings), good=ok)
        output.facts(
            [
                ("finder", "armed" if now.armed else "not armed: see 'keras-integrity doctor'"),
                *settings_shown.rows(in_force),
                ("Keras", installed or "not installed"),
                ("Python", sys.executable),
            ]
        )
        finding.show(findings)
    sys.exit(output.OK if ok else output.REFUSED)


@click.command()
@click.option("-v", "--verbose", is_flag=True, help="List every function that is guarded, or not.")
@json_option
def doctor(verbose: bool, as_json: bool) -> None:
    """Find out whether a fresh Python is protected, and whether what is in force works.

    A new interpreter is started and imports Keras. What it looked like before and after decides.
    Each log, key, file and signer that a policy names is tried out, and whether there are a vetter
    and a sandbox where it wants them.
    """
    facts = {**_examine(), **_set_up()}
    findings = list(diagnose(facts))
    in_force = None
    with contextlib.suppress(IntegrityError):  # told by diagnose
        in_force, more = _in_force()
        findings += more
    told = verdict(facts, findings)
    ok = not any(found.fatal for found in findings)
    if as_json:
        if in_force is not None:
            facts |= settings_shown.facts(in_force)
        found = [one.to_dict() for one in findings]
        output.emit("doctor", ok=ok, verdict=told, findings=found, facts=facts)
    else:
        sentence = _said(told, findings)
        finding.verdict(sentence, good=ok)
        _print_examination(
            facts, settings_shown.rows(in_force) if in_force else [], verbose=verbose
        )
        finding.show(findings)
        finding.verdict(sentence, good=ok)
    sys.exit(output.OK if ok else output.REFUSED)


def _in_force() -> tuple[settings.Settings, list[Finding]]:
    """The settings of the process, and what of them does not work here.

    Raises:
        IntegrityError: a setting or a policy file cannot be relied on.
    """
    found = layers.current()
    in_force = layers.resolve(found, None)
    return in_force, list(trials.of_process(found, in_force))


def _said(told: Verdict, findings: list[Finding]) -> str:
    if told is Verdict.UNPROTECTED:
        return "A fresh Python is NOT protected."
    if told is Verdict.PROTECTED:
        return f"A fresh Python is protected{_but(findings)}."
    return f"A fresh Python is armed; Keras cannot be imported here yet{_but(findings)}."


def _said_of_process(guarded: bool, findings: list[Finding]) -> str:
    return f"protected{_but(findings)}" if guarded else "NOT PROTECTED"


def _but(findings: list[Finding]) -> str:
    problems = sum(found.level is Level.PROBLEM for found in findings)
    return f", but there {_is(problems)} {plural(problems, 'problem')}" if problems else ""


def _is(count: int) -> str:
    return "is" if count == 1 else "are"


def _examine() -> dict[str, Any]:
    """Run the probe and collect its facts, however it ends."""
    import json
    import pkgutil
    import subprocess

    from keras_integrity_hook.cli.probe import MARK

    source = (pkgutil.get_data(__package__, "probe.py") or b"").decode()
    quiet = {"TF_CPP_MIN_LOG_LEVEL": "3", "CUDA_VISIBLE_DEVICES": "-1"}
    facts: dict[str, Any] = {}
    try:
        child = subprocess.run(
            # -P: or what lies in the directory that root happens to be in is imported, and runs.
            [sys.executable, "-P", "-c", source],
            env={**os.environ, **quiet},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            check=False,
            text=True,
            errors="replace",
            timeout=_SECONDS,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return {"exit_status": -1, "stderr": [str(error)[-500:]]}
    for line in child.stdout.splitlines():
        if line.startswith(MARK):
            facts.update(json.loads(line.removeprefix(MARK)))
    facts["exit_status"] = child.returncode
    if child.returncode:
        facts["stderr"] = child.stderr.splitlines()[-5:]
    return facts


def _set_up() -> dict[str, Any]:
    """What an admin has set up: the machine's policy, and the sitecustomize in use."""
    from keras_integrity_hook.activation import machine_policy, sitecustomize
    from keras_integrity_hook.cli.site import customization_facts, policy_facts
    from keras_integrity_hook.errors import SiteError
    from keras_integrity_hook.isolation import availability

    facts: dict[str, Any] = {"policy": policy_facts(machine_policy.examine())}
    with contextlib.suppress(SiteError):  # an interpreter that does not answer is a finding already
        facts["sitecustomize"] = customization_facts(sitecustomize.find())
        facts["sitecustomize_here"] = customization_facts(sitecustomize.find(isolated=False))
    facts["sandbox"] = availability.facts()
    return facts


def _print_examination(
    facts: dict[str, Any], in_force: list[tuple[str, str]], *, verbose: bool
) -> None:
    from keras_integrity_hook.cli.site import describe_customization, describe_policy

    files = facts.get("startup_files", [])
    targets = facts.get("targets", [])
    output.facts(
        [
            ("Python", f"{facts.get('python', '?')}  {facts.get('executable', sys.executable)}"),
            ("finder", "armed before Keras" if facts.get("armed") else "not armed"),
            *[("start-up file", f"{file}{_role(file, facts)}") for file in files],
            ("package", facts.get("loaded_from") or "not loaded at start"),
            ("Keras", facts.get("keras") or _not_imported()),
            *([("functions", _counted(targets))] if targets else []),
            ("machine's policy", describe_policy(facts["policy"])),
            ("sitecustomize", describe_customization(facts.get("sitecustomize_here"))),
            ("sandbox", _said_of_sandbox(facts["sandbox"])),
            *in_force,
        ]
    )
    if verbose:
        _print_targets(targets, facts.get("not_supported", []))


def _said_of_sandbox(facts: dict[str, Any]) -> str:
    """Whether models can be tried in a confined process here, and by which means."""
    if facts["missing"]:
        return f"not to be had here: {'; '.join(facts['missing'])}"
    return f"to be had (Landlock ABI {facts['landlock']}, seccomp)"


def _not_imported() -> str:
    installed = _keras_version()
    return f"{installed}, not imported" if installed else "not installed"


def _counted(targets: list[list[str]]) -> str:
    counts = Counter(state for _, state in targets)
    return ", ".join(f"{count} {state}" for state, count in counts.most_common()) + (
        " (--verbose lists them)"
    )


def _print_targets(targets: list[list[str]], not_supported: list[list[str]]) -> None:
    colours = {"wrapped": "green", "absent": "bright_black", "not loaded": "bright_black"}
    rows = [(state, name, colours.get(state, "red")) for name, state in targets]
    rows += [("not supported", f"{what}: {why}", "bright_black") for what, why in not_supported]
    if rows:
        output.states(rows)


def _role(file: str, facts: dict[str, Any]) -> str:
    """Which of the two start-up files Python reads (PEP 829: ``.start`` from 3.15 on)."""
    if not facts.get("armed"):
        return ""
    modern = tuple(int(n) for n in facts["python"].split(".")[:2]) >= (3, 15)
    starts = any(name.endswith(".start") for name in facts["startup_files"])
    fires = file.endswith(".start") == (modern and starts)
    return "  (fired)" if fires else "  (for other Python versions)"


def _keras_version() -> str | None:
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version("keras")
    except PackageNotFoundError:
        return None
