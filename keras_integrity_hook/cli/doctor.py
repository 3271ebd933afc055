# SPDX-License-Identifier: Apache-2.0
"""``status`` of this process, and ``doctor``: is the hook armed in a fresh interpreter?"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from typing import Any, NamedTuple

import click

from keras_integrity_hook import settings
from keras_integrity_hook.cli import output
from keras_integrity_hook.cli.output import json_option
from keras_integrity_hook.errors import ConfigurationError, printable

_PACKAGE = "keras_integrity_hook"
_SECONDS = 300


@click.command()
@json_option
def status(as_json: bool) -> None:
    """Show whether this very process is protected, and the mode."""
    from keras_integrity_hook.activation.state import status as current

    try:
        mode, unsealed = settings.mode(), settings.at().unsealed
        now = current()
    except ConfigurationError as error:
        output.misconfigured("status", error, as_json=as_json)
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
                ("mode", f"{mode.value}  ({settings.MODE_VARIABLE})"),
                ("unsealed files", f"{unsealed.value}  ({settings.UNSEALED_VARIABLE})"),
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
    facts = _examine()
    findings = list(diagnose(facts))
    ok = not any(finding.fatal for finding in findings)
    if as_json:
        found = [finding._asdict() for finding in findings]
        output.emit("doctor", ok=ok, findings=found, facts=facts)
    else:
        _print_examination(ok, findings, facts)
    sys.exit(output.OK if ok else output.REFUSED)


class Finding(NamedTuple):
    """Something that is wrong (``fatal``) or worth knowing, in a sentence or two."""

    fatal: bool
    text: str


def diagnose(facts: dict[str, Any]) -> Iterator[Finding]:
    """What the facts of a fresh interpreter mean."""
    files, copies = facts.get("startup_files", []), facts.get("copies", [])
    if "armed" not in facts:
        yield Finding(True, "The fresh interpreter did not get as far as running our question.")
    elif not facts["armed"]:
        yield Finding(True, f"The hook is not armed when Python starts. {_why_unarmed(facts)}")
    elif facts["keras_loaded"]:
        yield Finding(
            True, "Keras is imported by another start-up file; ours may have come too late."
        )
    if len({file.rpartition(".")[0] for file in files}) > 1:
        yield Finding(False, "There is more than one start-up file; uninstall all but one copy.")
    if len(facts.get("distributions", [])) > 1:
        yield Finding(False, "The package is installed more than once on this interpreter's path.")
    if loaded := facts.get("loaded_from"):
        home = os.path.dirname(os.path.dirname(os.path.realpath(loaded)))
        others = [place for place in copies if place != home]
        if others:
            yield Finding(
                False,
                f"Another directory called {_PACKAGE} is importable too, in {', '.join(others)}; "
                "the package in use is named above.",
            )
    yield from _diagnose_keras(facts)
    if facts.get("exit_status"):
        last = (facts.get("stderr") or ["no message"])[-1]
        yield Finding(True, f"The interpreter ended with status {facts['exit_status']}: {last}")


def _diagnose_keras(facts: dict[str, Any]) -> Iterator[Finding]:
    try:
        off = settings.mode() is settings.Mode.OFF
    except ConfigurationError as error:
        yield Finding(True, f"{error}")
        return
    if facts.get("missing"):
        yield Finding(False, "Keras is not installed here; there is nothing to protect yet.")
    elif facts.get("error"):
        yield Finding(True, f"Importing Keras failed: {facts['error']}")
    elif off:
        yield Finding(True, f"{settings.MODE_VARIABLE}=off: you have opted out of protection.")
    elif "keras" in facts:
        targets = facts["targets"]
        naked = [name for name, state in targets if not _is_accounted_for(name, state)]
        naked += [name for name, wrapped in facts["public"].items() if wrapped is False]
        if naked or not targets:
            yield Finding(True, f"Not guarded: {', '.join(naked) or 'all of Keras'}.")


def _is_accounted_for(name: str, state: str) -> bool:
    """Whether it is in order that a target is in this state once Keras has been imported."""
    # Keras loads all of its own modules; TensorFlow and tf_keras may not be in use.
    return state in ("wrapped", "absent") or (
        state == "not loaded" and not name.startswith("keras.")
    )


def _why_unarmed(facts: dict[str, Any]) -> str:
    if not facts.get("startup_files"):
        return (
            "No start-up file (keras_integrity_hook.pth or .start) in a site directory of "
            f"{facts['executable']}: install the package with pip into this very environment. "
            "'pip install --target' and a directory on PYTHONPATH do not activate it."
        )
    if not facts.get("copies"):
        return "The start-up file is there but the package is not: install it again."
    return "The start-up file did not run or failed; read the messages of 'python -v'."


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


def _print_examination(ok: bool, findings: list[Finding], facts: dict[str, Any]) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

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
        ]
    )
    for finding in findings:
        mark = "problem:" if finding.fatal else "note:"
        click.secho(f"{mark:<15} ", fg="red" if finding.fatal else "yellow", nl=False)
        click.echo(printable(finding.text))
    if targets := facts.get("targets"):
        table = Table("guarded function", "state", box=None, pad_edge=False)
        colours = {"wrapped": "green", "absent": "dim", "not loaded": "dim"}
        for name, state in targets:
            table.add_row(Text(printable(name)), Text(state, style=colours.get(state, "red")))
        for what, why in facts.get("not_supported", []):
            table.add_row(Text(what), Text(f"not supported: {why}", style="dim"))
        # A table that folds names at 80 columns cannot be grepped.
        Console(width=None if sys.stdout.isatty() else 160, highlight=False).print(table)


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
