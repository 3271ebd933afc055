# SPDX-License-Identifier: Apache-2.0
"""Which models have passed a trial load: a small file for each, in a directory of the user's.

Whoever can write there can say that a model passed, so a file counts only where nobody but the user
and root can (``files.kept``); code in a sandbox can write nowhere near.
"""

from __future__ import annotations

import hashlib
import os
from typing import Any

from keras_integrity_hook.files import kept
from keras_integrity_hook.limits import LIMITS
from keras_integrity_hook.sealing import canonical


def directory() -> str:
    """Where verdicts are kept."""
    return os.path.join(kept.cache_directory(), "tried")


def has_passed(facts: dict[str, Any]) -> bool:
    """Whether what ``facts`` describe has passed; False where that cannot be believed."""
    said = canonical.encode(facts)
    return kept.read(_path(said), LIMITS.verdict) == said


def keep(facts: dict[str, Any]) -> None:
    """Keep that it has passed. Where that is not possible it is tried again the next time."""
    said = canonical.encode(facts)
    kept.write(_path(said), said, at_most=LIMITS.verdicts)


def _path(said: bytes) -> str:
    return os.path.join(directory(), hashlib.sha256(said).hexdigest())
