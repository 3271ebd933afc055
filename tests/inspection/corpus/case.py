# SPDX-License-Identifier: Apache-2.0
"""One model of the corpus: its name, how it is written, and what an inspection has to say."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from keras_integrity_hook.inspection.findings import Verdict


class Case(NamedTuple):
    """A malicious model.

    Attributes:
        name: what it is, unique in the corpus; ``/`` separates construct, position and format.
        file: the name of the file or directory to write, by which loaders know the format.
        write: writes it to a path of that name.
        least: the verdict that it has to get, or a worse one.
        advisory: the public advisory that it comes from; empty for a sibling of one.
    """

    name: str
    file: str
    write: Callable[[Path], None]
    least: Verdict
    advisory: str = ""

    @property
    def format(self) -> str:
        """The last part of the name."""
        return self.name.rpartition("/")[2]

    def make(self, folder: Path) -> Path:
        """Write the model below ``folder``; return its path."""
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / self.file
        self.write(path)
        return path
