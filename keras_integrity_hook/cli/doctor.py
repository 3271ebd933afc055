# SPDX-License-Identifier: Apache-2.0
"""``status`` of this process, and ``doctor``: is the hook armed in a fresh interpreter?"""

from __future__ import annotations

import contextlib
import os
import sys
from typing import Any

import click

from keras_integrity_hook import settings
from keras_integrity_hook.cli import output
from keras_integrity_hook.cli.diagnosis import Finding, diagnose
from keras_integrity_hook.cli.output import json_option
from keras_integrity_hook.errors import IntegrityError, printable

_SECONDS = 300


@click.command()
@json_option
def status(as_json: bool) -> None:
    """Show whether this very process is protected, and the mode."""
    from keras_integrity_hook.activation.state import status as current

    try:
        in_force = settings.at()
        now = current()
    except IntegrityError as error:
        output.misconfigured("status", error, as_json=as_json)
    mode, unsealed, origins = in_force.mode, in_force.unsealed, in_force.origins
    ok = now.armed and mode is not settings.Mode.OFF
    installed = _keras_version()
    if as_json:
        fields = {"armed": now.armed, "mode": mode.value, "unsealed": unsealed.value}
        output.emit("status", ok=ok, **fields, keras=installed, python=sys.executable)
    else:
        click.secho("protected" if ok else "NOT PROTECTED", fg="green" if ok else "red", bold=True)
        output.facts(
            [
                ("finder", "armed" if now.armed else "not armed: see 'keras-integrity doctor'"),
                ("mode", f"{mode.value}  ({origins['mode']})"),
                ("unsealed files", f"{unsealed.value}  ({origins['unsealed']})"),
                ("Keras", installed or "not installed"),
                ("Python", sys.executable),
            ]
        )
    sys.exit(output.OK if ok else output.REFUSED)


@click.command()
@json_option
def doctor(as_json: bool) -> None:
    """Find out whether a fresh Python is protected.

    A new interpreter is started and imports Keras. What it looked like before and after decides.
    """
    facts = {**_examine(), **_set_up()}
    findings = list(diagnose(facts))
    ok = not any(finding.fatal for finding in findings)
    if as_json:
        found = [finding._asdict() for finding in findings]
        output.emit("doctor", ok=ok, findings=found, facts=facts)
    else:
        _print_examination(ok, findings, facts)
    sys.exit(output.OK if ok else output.REFUSED)


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
            [sys.executable, "-c", source],
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

    facts: dict[str, Any] = {"policy": policy_facts(machine_policy.examine())}
    with contextlib.suppress(SiteError):  # an interpreter that does not answer is a finding already
        facts["sitecustomize"] = customization_facts(sitecustomize.find())
        facts["sitecustomize_here"] = customization_facts(sitecustomize.find(isolated=False))
    return facts


def _print_examination(ok: bool, findings: list[Finding], facts: dict[str, Any]) -> None:
    from keras_integrity_hook.cli.site import describe_customization, describe_policy

    verdict = "A fresh Python is protected." if ok else "A fresh Python is NOT protected."
    click.secho(verdict, fg="green" if ok else "red", bold=True)
    armed = "armed before Keras" if facts.get("armed") else "not armed"
    files = facts.get("startup_files", [])
    output.facts(
        [
            ("Python", f"{facts.get('python', '?')}  {facts.get('executable', sys.executable)}"),
            ("finder", armed),
            *[("start-up file", f"{file}{_role(file, facts)}") for file in files],
            ("package", facts.get("loaded_from") or "not loaded at start"),
            ("Keras", facts.get("keras") or "not imported"),
            ("machine's policy", describe_policy(facts["policy"])),
            ("sitecustomize", describe_customization(facts.get("sitecustomize_here"))),
        ]
    )
    for finding in findings:
        mark = "problem:" if finding.fatal else "note:"
        click.secho(f"{mark:<15} ", fg="red" if finding.fatal else "yellow", nl=False)
        click.echo(printable(finding.text))
    if targets := facts.get("targets"):
        colours = {"wrapped": "green", "absent": "bright_black", "not loaded": "bright_black"}
        rows = [(state, name, colours.get(state, "red")) for name, state in targets]
        rows += [
            ("not supported", f"{what}: {why}", "bright_black")
            for what, why in facts.get("not_supported", [])
        ]
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
