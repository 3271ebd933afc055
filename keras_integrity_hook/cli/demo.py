# SPDX-License-Identifier: Apache-2.0
"""``demo``: one damaged weight, or a model with code in it, seen by plain Keras and by the hook.

Every step is a process of its own, and every promise is checked: the command fails when a step
does not go as told.
"""

from __future__ import annotations

import os
import re
import struct
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import click

from keras_integrity_hook import settings
from keras_integrity_hook.cli import output
from keras_integrity_hook.cli.demo_scripts import EVALUATE, TRAIN
from keras_integrity_hook.cli.demo_steps import Step, error_in, print_step, python, told
from keras_integrity_hook.cli.output import json_option
from keras_integrity_hook.files import temporary

_WEIGHTS = "model.weights.h5"
_BIAS = "layers/dense_1/vars/1"
_DAMAGE = "Plain Keras loaded the damage in silence. The hook refused it."
_MALICE = "A good seal says who and what, not that it is harmless. That takes a look inside."


@click.command()
@click.option(
    "--keep",
    metavar="DIRECTORY",
    type=click.Path(file_okay=False, path_type=Path),
    help="Leave the scripts and model files in this directory.",
)
@click.option("--malicious", is_flag=True, help="A model that runs code, and who lets it, instead.")
@json_option
def demo(keep: Path | None, malicious: bool, as_json: bool) -> None:
    """Train a small network, damage one weight, and watch who notices.

    With --malicious: make a model whose code writes a file into the directory of the demo, and see
    what plain Keras, scan, a load, vet and an input contract make of it.
    """
    _refuse_if_missing([] if malicious else ["scikit-learn"], as_json=as_json)
    with temporary.private_folder(for_children=True) as scratch:
        folder = (keep or Path(scratch)).absolute()
        folder.mkdir(parents=True, exist_ok=True)
        steps = []
        for number, step in enumerate(_played(folder, _plays(folder, malicious=malicious)), 1):
            steps.append(step)
            if not as_json:
                print_step(number, step)
    ok = not any(step.broken for step in steps)
    if as_json:
        output.emit("demo", ok=ok, steps=[step._asdict() for step in steps])
    elif ok:
        click.secho(f"\n{_MALICE if malicious else _DAMAGE}", bold=True)
    sys.exit(output.OK if ok else output.REFUSED)


def _plays(folder: Path, *, malicious: bool) -> tuple[Callable[[Path], Step], ...]:
    """The steps in order; their scripts are put into ``folder``."""
    if malicious:
        from keras_integrity_hook.cli import demo_malicious

        return demo_malicious.plays(folder)
    (folder / "train.py").write_text(TRAIN)
    (folder / "evaluate.py").write_text(EVALUATE)
    return (_train, _inspect, _reload, _damage, _without_hook, _with_hook)


def _played(folder: Path, plays: tuple[Callable[[Path], Step], ...]) -> Iterator[Step]:
    """What each step did, ending early at the first broken promise."""
    for play in plays:
        step = play(folder)
        yield step
        if step.broken:
            return


def _train(folder: Path) -> Step:
    done = python(folder, "train.py")
    good = _accuracy(done) > 0.9
    return Step(
        "Train on scikit-learn's digits and save. The script does not know about us.",
        "python train.py",
        told(done),
        "" if good else "the network should have learnt to read digits",
    )


def _inspect(folder: Path) -> Step:
    done = python(folder, "-m", "keras_integrity_hook.cli", "inspect", "--digest", _WEIGHTS)
    sealed = done.returncode == 0 and done.stdout.startswith("sealed")
    return Step(
        "The files were sealed as they were saved.",
        f"keras-integrity inspect --digest {_WEIGHTS}",
        _short(told(done)) if sealed else told(done),
        "" if sealed else "the save should have sealed it; see 'keras-integrity doctor'",
    )


def _reload(folder: Path) -> Step:
    done = python(folder, "evaluate.py")
    return Step(
        "Load them in a new process: checked, then used.",
        "python evaluate.py",
        told(done),
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
    done = python(folder, "evaluate.py", **{settings.MODE_VARIABLE: "off"})
    return Step(
        "Plain Keras, hook switched off: no error, no warning, wrong answers.",
        "KERAS_INTEGRITY=off python evaluate.py",
        (*told(done), f"exit status {done.returncode}"),
        "" if 0 <= _accuracy(done) < 0.5 else "plain Keras should load the damaged file",
    )


def _with_hook(folder: Path) -> Step:
    done = python(folder, "evaluate.py")
    error = error_in(done.stderr, "ChecksumMismatchError")
    refused = done.returncode != 0 and bool(error) and "/vars/" in error[0]
    return Step(
        "The same script with the hook: refused, and told what is damaged.",
        "python evaluate.py",
        (*(error or told(done)), f"exit status {done.returncode}"),
        "" if refused else "the load should be refused, naming the damaged layer",
    )


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


def _refuse_if_missing(more: list[str], *, as_json: bool) -> None:
    """End the command where a package is missing: Keras, its default backend, or one of ``more``,
    names of distributions."""
    from importlib.util import find_spec

    # What is not the default backend is the user's own choice, and theirs to install.
    backend = os.environ.get("KERAS_BACKEND", "tensorflow")
    needed = ["keras", *(["tensorflow"] if backend == "tensorflow" else []), *more]
    modules = {"scikit-learn": "sklearn"}
    missing = [name for name in needed if find_spec(modules.get(name, name)) is None]
    if not missing:
        return
    message = f"the demo needs {', '.join(missing)}: pip install {' '.join(needed)}"
    if as_json:
        output.emit("demo", ok=False, error={"code": "missing-packages", "message": message})
    else:
        click.echo(f"Error: {message}", err=True)
    sys.exit(output.REFUSED)
