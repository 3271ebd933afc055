# SPDX-License-Identifier: Apache-2.0
"""Put the two interpreter start-up files at the root of site-packages.

setuptools has no setting for that: ``package_data`` lands inside the package, where the ``site``
module does not look, and ``data_files`` is ignored by editable installs. Everything else is in
``setup.cfg``.

The ``.pth`` file loads the package that lies beside it. The package of an editable install lies in
the source tree, so that there the file names that.
"""

from __future__ import annotations

import json
import os
from typing import Any

from setuptools import setup
from setuptools.command.build_py import build_py
from setuptools.command.editable_wheel import editable_wheel
from setuptools.errors import SetupError

STARTUP_FILES = ("keras_integrity_hook.pth", "keras_integrity_hook.start")


class BuildWithStartupFiles(build_py):
    """Add the start-up files to every regular build (wheel, sdist, ``pip install .``)."""

    def run(self) -> None:
        super().run()
        self.mkpath(self.build_lib)
        for name in STARTUP_FILES:
            self.copy_file(name, os.path.join(self.build_lib, name), preserve_mode=False)

    def get_outputs(self, include_bytecode: bool = True) -> list[str]:
        built = [os.path.join(self.build_lib, name) for name in STARTUP_FILES]
        return [*super().get_outputs(include_bytecode), *built]


class EditableWithStartupFiles(editable_wheel):
    """Add the start-up files to the wheel that an editable install is made of."""

    _startup_files_written = False

    def run(self) -> None:
        super().run()
        # ``_select_strategy`` is private. Should setuptools stop calling it, an editable install
        # would be silently unprotected: better that there is none.
        if not self._startup_files_written:
            raise SetupError("this setuptools does not let the start-up files into the wheel")

    def _select_strategy(self, *args: Any, **kwargs: Any) -> _StartupFilesStrategy:
        return _StartupFilesStrategy(super()._select_strategy(*args, **kwargs), self)


class _StartupFilesStrategy:
    """One of setuptools' editable strategies, followed by our files.

    ``wheel.writestr`` records the file's hash, so RECORD lists it and uninstall removes it.
    """

    def __init__(self, strategy: Any, command: EditableWithStartupFiles) -> None:
        self._strategy = strategy
        self._command = command

    def __enter__(self) -> _StartupFilesStrategy:
        self._strategy.__enter__()
        return self

    def __exit__(self, *exception: Any) -> Any:
        return self._strategy.__exit__(*exception)

    def __call__(self, wheel: Any, *args: Any, **kwargs: Any) -> None:
        self._strategy(wheel, *args, **kwargs)
        for name in STARTUP_FILES:
            with open(name, encoding="utf-8") as file:
                wheel.writestr(name, _for_editable(file.read()))
        self._command._startup_files_written = True


def _for_editable(text: str) -> str:
    """A start-up file that finds the package in this source tree, not beside itself."""
    home = os.path.dirname(os.path.abspath(__file__))
    # A literal inside the literal that is executed: JSON escapes what must not end the outer one.
    return text.replace("h = sitedir", f"h = {json.dumps(repr(home))[1:-1]}")


setup(cmdclass={"build_py": BuildWithStartupFiles, "editable_wheel": EditableWithStartupFiles})
