# SPDX-License-Identifier: Apache-2.0
"""What every target shares: its seeds, and the rule that parsers raise only our errors."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["keras_integrity_hook"]):
    # Imported here, and by the targets only afterwards, so that their branches are counted.
    import keras_integrity_hook.containers.hdf5_map
    import keras_integrity_hook.contracts.sealed
    import keras_integrity_hook.detached.vsa
    import keras_integrity_hook.inspection.inspecting
    import keras_integrity_hook.registry.mirrors
    import keras_integrity_hook.saving.seal_writer  # noqa: F401 - imports all the parsers
    from keras_integrity_hook.errors import IntegrityError


@contextlib.contextmanager
def file_of(data: bytes) -> Iterator[int]:
    """A descriptor of a nameless file that holds ``data``."""
    fd = os.memfd_create("fuzz")
    try:
        os.write(fd, data)
        yield fd
    finally:
        os.close(fd)


def fuzz(target: Callable[[bytes], None], seeds: Iterable[bytes]) -> None:
    """Fuzz ``target`` from ``seeds``, kept in the corpus directory that the command line names.

    ``target`` may raise IntegrityError, which is an answer; anything else is a failure.
    """
    corpus = Path(sys.argv[1])
    for number, seed in enumerate(seeds):
        (corpus / f"seed-{number}").write_bytes(seed)

    def one_input(data: bytes) -> None:
        with contextlib.suppress(IntegrityError):
            target(data)

    atheris.Setup(sys.argv, one_input)
    atheris.Fuzz()
