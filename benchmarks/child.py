# SPDX-License-Identifier: Apache-2.0
"""One action in a fresh process, for its peak memory or its time: prints bytes or seconds as JSON.

``python -m benchmarks.child load PATH WIDTH``, ``... verify PATH`` (bytes), ``... first PATH`` or
``... first-load PATH WIDTH`` (seconds); KERAS_INTEGRITY says whether the hook takes part.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path

from benchmarks.measure import peak_memory, timed


def loader(path: Path, width: int) -> Callable[[], object]:
    """What loads ``path`` as a model, or as the weights of a model of that ``width``."""
    import keras_integrity_hook

    # A benchmark run from a source tree has no start-up file; where there is one, this is a no-op.
    keras_integrity_hook.activate()
    from benchmarks.models import build

    if path.name.endswith(".weights.h5"):
        model = build(width)
        return lambda: model.load_weights(path)
    import keras

    return lambda: keras.saving.load_model(path)


def first(path: Path) -> float:
    """Seconds of the first ``verify`` of a process, once the package is imported."""
    from keras_integrity_hook import verify

    return timed(lambda: verify(path))


def main(arguments: list[str]) -> None:
    """Run the action named first in ``arguments``."""
    if arguments[0] == "first":
        print(json.dumps(first(Path(arguments[1]))))
        return
    if arguments[0] == "first-load":
        print(json.dumps(timed(loader(Path(arguments[1]), int(arguments[2])))))
        return
    if arguments[0] == "load":
        loader(Path(arguments[1]), int(arguments[2]))()
    else:
        from keras_integrity_hook import verify

        verify(Path(arguments[1]))
    print(json.dumps(peak_memory()))


if __name__ == "__main__":
    main(sys.argv[1:])
