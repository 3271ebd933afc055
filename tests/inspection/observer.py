# SPDX-License-Identifier: Apache-2.0
"""A process that loads models in plain Keras or tf_keras, and says what was touched meanwhile.

``python -m tests.inspection.observer HOST DECOYS`` reads paths of models, one a line, loads each
with ``safe_mode=False`` and answers with a line of JSON: what was imported, opened, called or
unmarshalled. An audit hook sees it (PEP 578), and inotify(7) the files that TensorFlow opens
without Python, so that nothing of the host is changed for it. ``DECOYS`` is a directory of modules
and files that only a model would ever ask for.
"""

from __future__ import annotations

import contextlib
import ctypes
import importlib
import json
import os
import struct
import sys
import warnings
from pathlib import Path
from typing import Any, TextIO

STANDARD = ("colorsys", "wave", "plistlib", "sched")
"""Modules of Python that neither Keras nor TensorFlow imports."""

DECOY = """
import sys

def run(*args, **kwargs):
    sys.audit("observed.call", __name__)

class Evil:
    def __init__(self, *args, **kwargs):
        sys.audit("observed.call", __name__)

    @classmethod
    def from_config(cls, config):
        return cls()
"""
_UNMARSHAL = ("python_utils.py", "generic_utils.py")
"""Where both hosts turn text into code; everybody else who unmarshals is importing a module."""


def make_decoys(folder: Path) -> None:
    """Modules ``decoy_0`` … and files ``words_0.txt`` … in ``folder``."""
    folder.mkdir()
    for number in range(4):
        (folder / f"decoy_{number}.py").write_text(DECOY)
        (folder / f"words_{number}.txt").write_text("a\nb\n")


class _Opened:
    """The names of the files of a directory that anybody opened, also from C++."""

    _OPEN, _HEAD = 0x20, struct.Struct("iIII")

    def __init__(self, folder: str) -> None:
        libc = ctypes.CDLL(None)
        self._fd = libc.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC)
        if self._fd < 0 or libc.inotify_add_watch(self._fd, os.fsencode(folder), self._OPEN) < 0:
            raise OSError("inotify is not to be had")

    def names(self) -> set[str]:
        """Those opened since this was last asked."""
        found = set()
        with contextlib.suppress(BlockingIOError):
            while data := os.read(self._fd, 65_536):
                while data:
                    *_, length = self._HEAD.unpack_from(data)
                    end = self._HEAD.size + length
                    found.add(data[self._HEAD.size : end].rstrip(b"\0").decode())
                    data = data[end:]
        return found


class Observer:
    """What happened since the last load began, as sorted lists of what it happened to."""

    def __init__(self, decoys: str) -> None:
        self._decoys = decoys
        self._seen: dict[str, set[str]] = {}
        self._is_on = False
        self._opened = _Opened(decoys)
        sys.addaudithook(self._note)

    def _note(self, event: str, arguments: tuple[Any, ...]) -> None:
        if not self._is_on:
            return
        if event == "observed.call":
            self._add("call", str(arguments[0]))
        elif event == "marshal.loads" and self._is_unmarshalled_by_host():
            self._add("code", "lambda")
        elif event in ("subprocess.Popen", "os.system", "socket.connect", "os.exec"):
            self._add("escape", event)

    def _imported(self) -> list[str]:
        """Modules that are there, and that nobody but a model has asked for."""
        return [name for name in sys.modules if name in STANDARD or name.startswith("decoy_")]

    def _is_unmarshalled_by_host(self) -> bool:
        return sys._getframe(2).f_code.co_filename.endswith(_UNMARSHAL)

    def _add(self, kind: str, what: str) -> None:
        self._seen.setdefault(kind, set()).add(what)

    @contextlib.contextmanager
    def watching(self) -> Any:
        """Note what happens; a module that was imported is forgotten, to be seen again."""
        self._seen.clear()
        for name in self._imported():
            del sys.modules[name]
        self._opened.names()
        self._is_on = True
        try:
            yield
        finally:
            self._is_on = False
            # importlib.import_module raises no audit event, so what is there afterwards tells.
            for name in self._imported():
                self._add("import", name)
            for name in self._opened.names():
                if name.startswith("words"):
                    self._add("open", os.path.join(self._decoys, name))

    def seen(self) -> dict[str, list[str]]:
        return {kind: sorted(what) for kind, what in self._seen.items()}


def serve(host: str, decoys: str, answers: TextIO) -> None:
    """Load what is asked for, until nothing is."""
    models = importlib.import_module(f"{host}.models")
    sys.path.insert(0, decoys)
    observer = Observer(decoys)
    for line in sys.stdin:
        outcome = "loaded"
        with observer.watching():
            try:
                models.load_model(line.strip(), safe_mode=False)
            except BaseException as error:  # whatever a hostile model makes of its loader
                outcome = f"{type(error).__name__}: {error}"[:300]
        print(json.dumps({"outcome": outcome, **observer.seen()}), file=answers, flush=True)


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    # What the libraries print must not come between the answers.
    channel = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    serve(sys.argv[1], sys.argv[2], channel)
