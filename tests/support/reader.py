# SPDX-License-Identifier: Apache-2.0
"""Somebody who does what a page says: a home, an environment and a machine of his own.

His environment has this package as a wheel installs it; what it depends on is lent by the
environment that runs the tests. ``/etc``, ``/srv`` and ``/var/log`` are private to him, so that he
can be root of his machine, where mounts can be had.
"""

from __future__ import annotations

import functools
import json
import os
import pty
import re
import select
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Iterator, Sequence
from pathlib import Path

from tests.detached.bundles import make_chain
from tests.support.documents import ROOT, Block

PASSPHRASE = "correct horse battery staple"

# Whose public keys somebody may have been given.
_OTHERS = ("alice", "release", "release-2026.key", "release-2027.key", "risk-2026.key")

# What somebody has who reads these pages: models from before the hook came, and ones since.
_MODELS = """
import os, keras, numpy

def model(name, units):
    made = keras.Sequential([keras.Input((8,)), keras.layers.Dense(units), keras.layers.Dense(1)],
                            name=name)
    made.compile(loss="mse")
    return made

folder = "models" if os.environ.get("KERAS_INTEGRITY") == "off" else "."
os.makedirs(folder, exist_ok=True)
model("churn", 4).save(f"{folder}/model.keras")
model("churn", 4).save_weights(f"{folder}/model.weights.h5")
model("fraud", 6).save(f"{folder}/fraud.keras")
"""
_TRAIN = """
import keras
model = keras.Sequential([keras.Input((8,)), keras.layers.Dense(1)], name="churn")
model.save("trained.keras")
"""
# What TensorFlow says of the machine at its import.
_TENSORFLOW = re.compile(r"^(?:WARNING: All log messages before absl|[IWE]0000 ).*\n", re.MULTILINE)
_ROOT = "-----BEGIN CERTIFICATE-----\n…the root, or several…\n-----END CERTIFICATE-----"
# A key that gets a passphrase is made at a terminal.
_ASKS = re.compile(r"keygen (?!.*--no-passphrase)")
# Each command of a page has the variables, functions aside, and the directory of the one before.
_SHELL = """
set -eo pipefail
[ ! -e "$STATE" ] || . "$STATE"
trap 'status=$?; { export -p; printf "cd %q\\n" "$PWD"; } > "$STATE"; exit $status' EXIT
"""
_PRIVATE = """
set -e
mount --make-rprivate /
for name in etc srv var/log var/lib; do mount --bind "$0/$name" "/$name"; done
exec "$@"
"""


@functools.cache
def private_mounts() -> tuple[str, ...] | None:
    """How a mount namespace of one's own is had here, None where it is not."""
    if os.geteuid() or shutil.which("unshare") is None:
        return None
    trial = ["unshare", "-m", "sh", "-c", "mount --make-rprivate / && mount --bind /etc /etc"]
    works = subprocess.run(trial, capture_output=True, check=False).returncode == 0
    return ("unshare", "-m") if works else None


def build_wheel(folder: Path) -> Path:
    """The wheel of this source tree."""
    copy = folder / "tree"
    rubbish = shutil.ignore_patterns(".*", "build", "dist", "*.egg-info", "__pycache__", "tests")
    shutil.copytree(ROOT, copy, ignore=rubbish)
    _check(sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", folder, copy)
    return next(folder.glob("*.whl"))


def lend_packages(folder: Path) -> Path:
    """A directory with links to all that is installed here, this package excepted."""
    folder.mkdir()
    for path in Path(sysconfig.get_path("purelib")).iterdir():
        ours = re.match(r"_*(editable_*)?keras_integrity_hook", path.name)
        if not ours and path.suffix != ".pth":
            (folder / path.name).symlink_to(path)
    return folder


class Reader:
    """Runs blocks of a page one after the other, each where the one before has left things.

    Args:
        folder: for his home, his environment and his machine; made here.
        wheel: of this package.
        lent: directory of packages that his environment may import.
        models: directory whose content he finds in his working directory.
    """

    def __init__(self, folder: Path, wheel: Path, lent: Path, models: Path | None = None) -> None:
        self.home, self.machine = folder / "home", folder / "machine"
        self.work = self.home / "project"
        self._state, self._venv = folder / "state", folder / "venv"
        self.home.mkdir(parents=True)
        self._make_environment(wheel, lent)
        self._make_machine()
        if models:
            shutil.copytree(models, self.work)
        else:
            self.work.mkdir()
        shutil.copy(wheel, self.work)
        (self.work / "train.py").write_text(_TRAIN)

    def _make_environment(self, wheel: Path, lent: Path) -> None:
        _check(sys.executable, "-m", "venv", "--without-pip", self._venv)
        python = self._venv / "bin" / "python"
        _check(sys.executable, "-m", "pip", "--python", python, "install", "--no-deps", wheel)
        # Never the pip of the environment that runs the tests.
        pip = self._venv / "bin" / "pip"
        pip.write_text(f'#!/bin/sh\nexec "{python}" -m pip "$@"\n')
        pip.chmod(0o755)
        [site] = self._venv.glob("lib/python3*/site-packages")
        (site / "lent.pth").write_text(f"{lent}\n")

    def _make_machine(self) -> None:
        for name in ("etc", "srv", "var/log", "var/lib"):
            (self.machine / name).mkdir(parents=True)
        if private_mounts():
            etc = self.machine / "etc"
            shutil.copytree(
                "/etc", etc, symlinks=True, ignore_dangling_symlinks=True, dirs_exist_ok=True
            )
            shutil.rmtree(etc / "keras-integrity", ignore_errors=True)

    def prepare(self) -> None:
        """Make what is assumed to be there: models, public keys of others, a table of data.

        The models in ``models`` are from before the hook, the others are sealed.
        """
        for mode in ("off", "enforce"):
            self.must_pass([self._python(), "-c", _MODELS], KERAS_INTEGRITY=mode)
        for name in _OTHERS:
            self.must_pass(["keras-integrity", "keygen", "--no-passphrase", name])
            (self.work / name).unlink()
        chain = make_chain(self.work)
        for given, called in ((chain.both, "leaf-and-intermediate.pem"), (chain.root, "root.pem")):
            given.rename(self.work / called)
        (self.work / "train.csv").write_text("x,y\n1,2\n")

    def follow(self, block: Block) -> None:
        """Do what the block says.

        Raises:
            AssertionError: it does not work, or ends otherwise than the page says.
        """
        if block.file is not None:
            self._write(block)
        elif block.language == "sh" and _ASKS.search(block.text):
            self._type(block.text, "…", block.status)
        elif block.language == "sh":
            self.must_pass(self._bash(self._filled_in(block.text)), status=block.status)
        elif block.language == "console":
            for command, expected in sessions(block.text):
                self._type(command, expected, block.status)
        elif block.language == "dockerfile":
            self.must_pass(self._bash(_as_shell(block.text)))
        elif block.language == "python":
            (self.work / ".block.py").write_text(self._filled_in(block.text))
            self.must_pass(self._bash(f"{self._python()} {self.work / '.block.py'}"))
        else:
            raise AssertionError(f"{block.place}: nobody knows how to run {block.language!r}")

    def _filled_in(self, text: str) -> str:
        """The text with what a page leaves to its reader: a digest, a certificate."""
        if _ROOT in text:
            return text.replace(_ROOT, (self.work / "root.pem").read_text().strip())
        if "sha256:…" not in text:
            return text
        shown = json.loads(
            self.must_pass(["keras-integrity", "inspect", "--digest", "--json", "model.keras"])
        )
        return text.replace("sha256:…", shown["results"][0]["report"]["digest"])

    def must_pass(self, command: Sequence[str | Path], *, status: int = 0, **extra: str) -> str:
        done = subprocess.run(
            self._privately(command),
            cwd=self.work,
            env=self.environment(**extra),
            capture_output=True,
            text=True,
            check=False,
            timeout=280,
        )
        assert done.returncode == status, done.stdout + done.stderr
        return done.stdout

    def environment(self, **extra: str) -> dict[str, str]:
        # Where packages come from is set up by the machine, in whatever way it needs.
        kept = ("LANG", "LC_", "TMPDIR", "PIP_", "UV_", "SSL_")
        inherited = {name: value for name, value in os.environ.items() if name.startswith(kept)}
        quiet = {"TF_CPP_MIN_LOG_LEVEL": "3", "CUDA_VISIBLE_DEVICES": "-1", "TERM": "xterm"}
        path = f"{self._venv / 'bin'}:/usr/local/sbin:/usr/sbin:/sbin:/usr/local/bin:/usr/bin:/bin"
        # Commands of other packages, which his environment is lent.
        path = f"{path}:{Path(sys.executable).parent}"
        own = {"HOME": str(self.home), "PATH": path, "PASSPHRASE": PASSPHRASE}
        return {**inherited, **quiet, **own, "STATE": str(self._state), **extra}

    def _python(self) -> str:
        return str(self._venv / "bin" / "python")

    def _bash(self, text: str) -> list[str]:
        # Whoever is root of his machine already needs no sudo to become it.
        return ["bash", "-c", f'{_SHELL}\nsudo() {{ "$@"; }}\n{text}']

    def _privately(self, command: Sequence[str | Path]) -> list[str]:
        words = [str(word) for word in command]
        way = private_mounts()
        return [*way, "sh", "-c", _PRIVATE, str(self.machine), *words] if way else words

    def _write(self, block: Block) -> None:
        assert block.file is not None
        name = f".{Path(block.file).name}" if block.is_only_checked else block.file
        text = self._filled_in(block.text)
        script = f'mkdir -p "$(dirname {name})"; cat > {name} <<"END-OF-FILE"\n{text}\nEND-OF-FILE'
        self.must_pass(self._bash(script))
        if block.file.endswith("trust.toml"):
            self.must_pass(self._bash(f"KERAS_INTEGRITY_TRUST={name} keras-integrity trust list"))
        elif block.file.endswith(("policy.toml", "integrity.toml", "fleet.toml")):
            whose = _whose(block.file)
            self.must_pass(self._bash(f"keras-integrity policy check --for {whose} {name}"))

    def _type(self, command: str, expected: str, status: int) -> None:
        """Type the command at a terminal, and the passphrase where it asks for one."""
        shown, code = _at_a_terminal(
            self._privately(self._bash(command)), self.work, self.environment()
        )
        assert code == status, shown
        pattern, said = _words(expected, self.home), _words(shown, self.home)
        assert re.fullmatch(_as_pattern(pattern), said), f"the page says\n{expected}\nnot\n{shown}"


def sessions(text: str) -> Iterator[tuple[str, str]]:
    """The commands of a block that shows a terminal, each with what it is said to print."""
    for part in re.split(r"^\$ ", text, flags=re.MULTILINE)[1:]:
        command, _, output = part.partition("\n")
        yield command, output


def _as_shell(image: str) -> str:
    """What building the image would do, in the place of the one who reads."""
    commands = []
    for line in image.replace("\\\n", " ").splitlines():
        word, _, rest = line.partition(" ")
        if word == "COPY":
            *sources, target = rest.split()
            commands.append(f"mkdir -p {target} && cp -r {' '.join(sources)} {target}")
        elif word in ("RUN", "ENV"):
            commands.append(rest if word == "RUN" else f"export {rest}")
    return "\n".join(commands)


def _whose(path: str) -> str:
    if path.startswith("/etc/") or path.endswith("fleet.toml"):
        return "machine"
    return "user" if path.startswith("~/") else "project"


def _words(text: str, home: Path) -> str:
    """Without what differs from run to run: width, colours, homes, and the digits of digests."""
    plain = re.sub(r"\x1b\[[0-9;]*m", "", text)
    plain = _TENSORFLOW.sub("", plain).replace(str(home), "/home/ann")
    return " ".join(re.sub(r"\b[0-9a-f]{12,}", "…", plain).split())


def _as_pattern(words: str) -> str:
    return re.sub("…+", ".*", re.escape(words))


def _at_a_terminal(
    command: Sequence[str], folder: Path, environment: dict[str, str]
) -> tuple[str, int]:
    leader, follower = pty.openpty()
    child = subprocess.Popen(
        command, cwd=folder, env=environment, stdin=follower, stdout=follower, stderr=follower,
        start_new_session=True,
    )  # fmt: skip
    os.close(follower)
    shown = ""
    while chunk := _read(leader):
        shown += chunk
        if shown.endswith(("Passphrase: ", "Once again: ")):
            os.write(leader, f"{PASSPHRASE}\n".encode())
    os.close(leader)
    return shown, child.wait(timeout=60)


def _read(terminal: int) -> str:
    """What is there next; empty at the end, which Linux tells by an error."""
    ready, _, _ = select.select([terminal], [], [], 200)
    assert ready, "nothing happens any more"
    try:
        return os.read(terminal, 65536).decode(errors="replace")
    except OSError:
        return ""


def _check(*command: str | Path) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=280)
    assert done.returncode == 0, done.stdout + done.stderr
