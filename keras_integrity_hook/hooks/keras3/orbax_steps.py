# SPDX-License-Identifier: Apache-2.0
"""The steps below a root directory of Orbax, and which of them Orbax is done with."""

from __future__ import annotations

import os
from collections.abc import Iterator

from keras_integrity_hook.containers.kinds import ORBAX
from keras_integrity_hook.files import location
from keras_integrity_hook.remote import sources, urls

SUCCESS, METADATA = "commit_success.txt", "_CHECKPOINT_METADATA"
ATOMIC_BY_MARK = ("gs://", "gcs://")
"""Where Orbax cannot rename a step into place, and says that it is done by a file of its own."""
MARKS = (SUCCESS, METADATA, ORBAX.seal)
"""By which a step counts for final somewhere."""


def steps_of(root: str) -> list[str]:
    """The names of all steps in ``root``, a path or a URL."""
    if not location.is_url(root):
        names = os.listdir(root)
        return [name for name in names if name.isdigit() and os.path.isdir(f"{root}/{name}")]
    names = [entry.url.rpartition("/")[2] for entry in sources.listing(root) if entry.is_directory]
    return [name for name in names if name.isdigit()]


def final_steps(root: str) -> Iterator[str]:
    """Those at the URL ``root`` that Orbax is done with, the latest first; each is asked about when
    it is wanted."""
    steps = sorted(steps_of(root), key=int, reverse=True)
    return (step for step in steps if _is_final(root, step))


def latest_at_url(root: str) -> str:
    """The URL of the latest of them, where Orbax has no word: many stores are none of those it
    knows. Raises Keras's ValueError."""
    for step in final_steps(root):
        return urls.below(root, step)
    raise ValueError(f"No valid checkpoints found in {urls.shown(root)}")


def _is_final(root: str, step: str) -> bool:
    """Whether Orbax is done with a step; in most stores a step has its name once it is done."""
    marks = (SUCCESS, ORBAX.seal) if root.startswith(ATOMIC_BY_MARK) else MARKS
    return any(sources.exists(f"{urls.below(root, step)}/{name}") for name in marks)
