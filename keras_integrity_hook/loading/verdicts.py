# SPDX-License-Identifier: Apache-2.0
"""Which models have passed a trial load: a small file for each, in a directory of the user's.

Whoever can write there can say that a model passed. So a file counts only where nobody but the user
and root can change it or a directory on the way to it; code in a sandbox can write nowhere near.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
from typing import Any

from keras_integrity_hook.errors import IntegrityError
from keras_integrity_hook.files import atomic, owned, permissions
from keras_integrity_hook.limits import LIMITS
from keras_integrity_hook.sealing import canonical


def directory() -> str:
    """Where verdicts are kept (XDG Base Directory Specification 0.8)."""
    home = os.environ.get("XDG_CACHE_HOME", "")
    if not os.path.isabs(home):
        home = os.path.expanduser("~/.cache")
    return os.path.join(home, "keras-integrity", "tried")


def has_passed(facts: dict[str, Any]) -> bool:
    """Whether what ``facts`` describe has passed; False where that cannot be believed."""
    said = canonical.encode(facts)
    path = os.path.join(directory(), _name(said))
    try:
        permissions.check_path(path)
        return owned.read_own(path, LIMITS.verdict, named=False, strict=True) == said
    except (IntegrityError, OSError):
        return False


def keep(facts: dict[str, Any]) -> None:
    """Keep that it has passed. Where that is not possible it is tried again the next time."""
    said = canonical.encode(facts)
    folder = directory()
    with contextlib.suppress(OSError, IntegrityError):
        os.makedirs(folder, mode=0o700, exist_ok=True)
        permissions.check_path(folder)
        _make_room(folder)
        target = os.path.join(folder, _name(said))
        with atomic.open_target(target) as final, atomic.private_file(final) as private:
            with os.fdopen(private.create(0o600), "wb") as file:
                file.write(said)
            private.put_in_place()


def _name(said: bytes) -> str:
    return hashlib.sha256(said).hexdigest()


def _make_room(folder: str) -> None:
    """Remove the older half where there are too many."""
    with os.scandir(folder) as entries:
        files = [entry for entry in entries if entry.is_file(follow_symlinks=False)]
    if len(files) < LIMITS.verdicts:
        return
    files.sort(key=lambda entry: entry.stat(follow_symlinks=False).st_mtime_ns)
    for entry in files[: len(files) // 2]:
        os.unlink(entry.path)
