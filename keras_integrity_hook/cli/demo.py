# SPDX-License-Identifier: Apache-2.0
"""``demo``: one damaged weight, seen by plain Keras and seen by the hook.

Every step is a process of its own, and every promise is checked: the command fails when a step
does not go as told.
"""

from __future__ import annotations

import os
import re
import struct
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import click

from keras_integrity_hook import settings
from keras_integrity_hook.cli import output
from keras_integrity_hook.cli.demo_scripts import EVALUATE, TRAIN
from keras_integrity_hook.cli.output import json_option
from keras_integrity_hook.errors import printable

_WEIGHTS = "model.weights.h5"
_BIAS = "layers/dense_1/vars/1"
_NEEDED = "pip install keras tensorflow scikit-learn"


class Step(NamedTuple):
    """One thing the demo did.

    Attributes:
        title: what is done, for people.
        command: what was run, as a person would type it.
        lines: what came out.
        broken: the promise that was not kept, or an empty string.
    """

    title: str
    command: str
    lines: tuple[str, ...]
    broken: str = ""


@click.command()
@click.option(
    "--keep",
    metavar="DIRECTORY",
    type=click.Path(file_okay=False, path_type=Path),
    help="Leave the scripts and model files in this directory.",
)
@json_option
def demo(keep: Path | None, as_json: bool) -> None:
    """Train a small network, damage one weight, and watch who notices."""
    if missing := _missing():
        message = f"the demo needs {', '.join(missing)}: {_NEEDED}"
        if as_json:
            output.emit("demo", ok=False, error={"code": "missing-packages", "message": message})
        else:
            click.echo(f"Error: {message}", err=True)
        sys.exit(output.REFUSED)
    with tempfile.TemporaryDirectory(prefix="keras-integrity-demo-") as scratch:
        folder = keep or Path(scratch)
        folder.mkdir(parents=True, exist_ok=True)
        steps = []
        for number, step in enumerate(_play(folder), 1):
            steps.append(step)
            if not as_json:
                _print_step(number, step)
    ok = not any(step.broken for step in steps)
    if as_json:
        output.emit("demo", ok=ok, steps=[step._asdict() for step in steps])
    elif ok:
        click.secho("\nPlain Keras loaded the damage in silence. The hook refused it.", bold=True)
    sys.exit(output.OK if ok else output.REFUSED)


def _play(folder: Path) -> Iterator[Step]:
    """The steps in order, ending early at the first broken promise."""
    (folder / "train.py").write_text(TRAIN)
    (folder / "evaluate.py").write_text(EVALUATE)
    for play in (_train, _inspect, _reload, _damage, _without_hook, _with_hook):
        step = play(folder)
        yield step
        if step.broken:
            return


def _train(folder: Path) -> Step:
    done = _python(folder, "train.py")
    good = _accuracy(done) > 0.9
    return Step(
        "Train on scikit-learn's digits and save. The script does not know about us.",
        "python train.py",
        _told(done),
        "" if good else "the network should have learnt to read digits",
    )


def _inspect(folder: Path) -> Step:
    done = _python(folder, "-m", "keras_integrity_hook.cli", "inspect", "--digest", _WEIGHTS)
    sealed = done.returncode == 0 and done.stdout.startswith("sealed")
    return Step(
        "The files were sealed as they were saved.",
        f"keras-integrity inspect --digest {_WEIGHTS}",
        _short(_told(done)) if sealed else _told(done),
        "" if sealed else "the save should have sealed it; see 'keras-integrity doctor'",
    )


def _reload(folder: Path) -> Step:
    done = _python(folder, "evaluate.py")
    return Step(
        "Load them in a new process: checked, then used.",
        "python evaluate.py",
        _told(done),
        "" if _accuracy(done) > 0.9 else "the sealed model should load as it was saved",
    )


def _damage(folder: Path) -> Step:
    """Flip the top exponent bit of one bias: a plain edit of one byte, no HDF5 involved."""
    from keras_integrity_hook import api

    title, path = "Damage it: one bit of one number in the output layer.", folder / _WEIGHTS
    seal = api.inspect(path).seal
    biases = [r for r in seal.regions if r.name == _BIAS and r.size == 40] if seal else []
    if seal is None or not biases:
        return Step(title, "", (), "the seal should say where the ten output biases are")
    bias = biases[0]
    # The content of an HDF5 file begins where the block in its user block ends.
    start = seal.block_size + bias.offset
    data = bytearray(path.read_bytes())
    before = struct.unpack_from("<10f", data, start)
    # The largest positive one below 1 becomes about 1e37: that class wins for every image.
    digit = max(range(10), key=lambda n: before[n])
    where = start + 4 * digit + 3
    data[where] ^= 0x40
    (after,) = struct.unpack_from("<f", data, where - 3)
    with path.open("r+b") as file:
        file.seek(where)
        file.write(data[where : where + 1])
    return Step(
        title,
        f"(byte {where:,} of {_WEIGHTS}, {data[where] ^ 0x40:#04x} becomes {data[where]:#04x})",
        (f"{bias.name}: the bias of digit {digit} was {before[digit]:.4f}, is {after:.2g}",),
        "" if after > 1e30 else "the weight should have become huge",
    )


def _without_hook(folder: Path) -> Step:
    done = _python(folder, "evaluate.py", **{settings.MODE_VARIABLE: "off"})
    return Step(
        "Plain Keras, hook switched off: no error, no warning, wrong answers.",
        "KERAS_INTEGRITY=off python evaluate.py",
        (*_told(done), f"exit status {done.returncode}"),
        "" if 0 <= _accuracy(done) < 0.5 else "plain Keras should load the damaged file",
    )


def _with_hook(folder: Path) -> Step:
    done = _python(folder, "evaluate.py")
    error = _error_in(done.stderr)
    refused = done.returncode != 0 and bool(error) and "/vars/" in error[0]
    return Step(
        "The same script with the hook: refused, and told what is damaged.",
        "python evaluate.py",
        (*(error or _told(done)), f"exit status {done.returncode}"),
        "" if refused else "the load should be refused, naming the damaged layer",
    )


def _error_in(text: str) -> list[str]:
    """The lines of the error at the end of what Python said, without the traceback."""
    lines = text.rstrip().splitlines()
    starts = [at for at, line in enumerate(lines) if "ChecksumMismatchError" in line]
    return lines[starts[-1] :] if starts else []


def _python(folder: Path, *arguments: str, **extra: str) -> subprocess.CompletedProcess[str]:
    """Run a fresh interpreter in the demo's directory, with TensorFlow's chatter off."""
    ours = (settings.MODE_VARIABLE, settings.UNSEALED_VARIABLE)
    environment = {name: value for name, value in os.environ.items() if name not in ours}
    environment |= {"TF_CPP_MIN_LOG_LEVEL": "3", "CUDA_VISIBLE_DEVICES": "-1", **extra}
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=folder,
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        check=False,
        text=True,
        errors="replace",
    )


def _told(done: subprocess.CompletedProcess[str]) -> tuple[str, ...]:
    failed = done.stderr.splitlines()[-4:] if done.returncode else []
    return (*done.stdout.rstrip().splitlines(), *failed)


def _short(lines: tuple[str, ...]) -> tuple[str, ...]:
    """The lines of ``inspect`` that matter here: the demo is to be read in thirty seconds."""
    telling = ("assurance", "root", "layers/")
    kept = [line.split() for line in lines[1:] if line.lstrip().startswith(telling)]
    return (
        *map(" ".join, (lines[0].split(), *kept)),
        f"... and {len(lines) - 1 - len(kept)} lines more",
    )


def _accuracy(done: subprocess.CompletedProcess[str]) -> float:
    """The accuracy a script printed, 0 to 1; below 0 when it printed none or failed."""
    found = re.search(r"^accuracy ([\d.]+)%$", done.stdout, re.MULTILINE)
    return float(found[1]) / 100 if found and done.returncode == 0 else -1.0


def _missing() -> list[str]:
    from importlib.util import find_spec

    # What is not the default backend is the user's own choice, and theirs to install.
    backend = os.environ.get("KERAS_BACKEND", "tensorflow")
    needed: dict[str, Any] = {"keras": "keras", "sklearn": "scikit-learn"}
    if backend == "tensorflow":
        needed["tensorflow"] = "tensorflow"
    return [name for module, name in needed.items() if find_spec(module) is None]


def _print_step(number: int, step: Step) -> None:
    def lines(text: str, **style: Any) -> None:
        for line in output.wrapped(printable(text), sys.stdout, margin=3):
            click.secho(f"   {line}", **style)

    click.secho(f"\n{number}. {step.title}", bold=True)
    if step.command:
        lines(step.command if step.command.startswith("(") else f"$ {step.command}", fg="cyan")
    for told in step.lines:
        lines(told)
    if step.broken:
        lines(f"NOT AS PROMISED: {step.broken}.", fg="red")
