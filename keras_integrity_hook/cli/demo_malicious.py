# SPDX-License-Identifier: Apache-2.0
"""``demo --malicious``: a model with a good seal and with code in it.

Its code does no harm: it writes a file into the directory of the demo.
"""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

from keras_integrity_hook import settings
from keras_integrity_hook.cli.demo_scripts import ASK, LOAD, MAKE
from keras_integrity_hook.cli.demo_steps import Step, error_in, python, told

_GIFT = "gift.keras"
_WRITTEN = "MARKER.txt: written by the model"
_CLI = ("-m", "keras_integrity_hook.cli")


def plays(folder: Path) -> tuple[Callable[[Path], Step], ...]:
    """The steps in order; their scripts are put into ``folder``."""
    for name, script in (("make.py", MAKE), ("load.py", LOAD), ("ask.py", ASK)):
        (folder / name).write_text(script)
    return (_arrive, _without_hook, _scan, _with_hook, _vet, _ask)


def _arrive(folder: Path) -> Step:
    made = python(folder, "make.py")
    done = python(folder, *_CLI, "verify", _GIFT) if made.returncode == 0 else made
    sealed = done.stdout.startswith("sealed")
    return Step(
        "Somebody sends a model. It is whole: nobody has changed it since it was saved.",
        f"keras-integrity verify {_GIFT}",
        _joined(done),
        "" if sealed else "the model should have been sealed; see 'keras-integrity doctor'",
    )


def _without_hook(folder: Path) -> Step:
    done = python(folder, "load.py", **{settings.MODE_VARIABLE: "off"})
    return Step(
        "Plain Keras, hook off, safe_mode=False as its page says: to load it is to run it.",
        "KERAS_INTEGRITY=off python load.py",
        told(done),
        "" if _WRITTEN in done.stdout else "plain Keras should run the code in the model",
    )


def _scan(folder: Path) -> Step:
    (folder / "MARKER.txt").unlink(missing_ok=True)
    done = python(folder, *_CLI, "scan", "--strict", _GIFT)
    found = done.returncode == 1 and "lambda-code" in done.stdout
    return Step(
        "Look into it, and load nothing.",
        f"keras-integrity scan --strict {_GIFT}",
        _joined(done),
        "" if found else "the scan should find the code in the model",
    )


def _with_hook(folder: Path) -> Step:
    done = python(folder, "load.py", KERAS_INTEGRITY_INSPECTION="strict")
    error = error_in(done.stderr, "DangerousModelError")
    refused = bool(error) and "MARKER.txt: none" in done.stdout
    return Step(
        "The same script where the policy is strict: refused before Keras reads a byte.",
        "KERAS_INTEGRITY_INSPECTION=strict python load.py",
        (*(error[:1] or told(done)), "MARKER.txt: none" if refused else done.stdout.strip()),
        "" if refused else "the load should be refused, and nothing of the model run",
    )


def _vet(folder: Path) -> Step:
    """Where the system cannot confine a process that is what is told, and no promise is broken."""
    from keras_integrity_hook.isolation import availability

    done = python(folder, *_CLI, "vet", _GIFT)
    cannot = "; ".join(availability.reasons())
    contained = "MARKER.txt" in done.stdout and not (folder / "MARKER.txt").exists()
    return Step(
        "Try it in a sandbox, where it can hurt nobody, and see what it tries.",
        f"keras-integrity vet {_GIFT}",
        (f"(not here: {cannot})",) if cannot else _told_by_vet(done),
        "" if cannot or contained else "the sandbox should refuse what the model tries, and tell",
    )


def _ask(folder: Path) -> Step:
    done = python(folder, "ask.py")
    error = error_in(done.stderr, "InputContractError")
    kept = bool(error) and "from 0 to 1: (1, 10)" in done.stdout
    return Step(
        "A harmless model, with a contract in its seal: pixels from 0 to 1. It gets 0 to 255.",
        "python ask.py",
        (*done.stdout.splitlines(), *(error[:1] or told(done)[-4:])),
        "" if kept else "the contract should refuse what the model was never made for",
    )


def _told_by_vet(done: subprocess.CompletedProcess[str]) -> tuple[str, ...]:
    """The verdict, and what was tried in the directory of the demo."""
    verdict, *rest = _joined(done) or ("",)
    telling = ("What it tried", "MARKER.txt")
    return (verdict, *(line for line in rest if any(words in line for words in telling)))


def _joined(done: subprocess.CompletedProcess[str]) -> tuple[str, ...]:
    return tuple(" ".join(line.split()) for line in told(done))
