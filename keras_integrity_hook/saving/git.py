# SPDX-License-Identifier: Apache-2.0
"""The commit of a working copy, and whether its tracked files are as committed; by asking git.

A repository that somebody else made may name programs in its own configuration: a file system
monitor, filters, a transport that fetches missing objects (git's own words on it: "SECURITY" in
git(1)). So its configuration is never in force while its files are looked at: git gets a private
directory in place of the repository's, with the index and the objects of the repository alone.
Whether the repository belongs to this user at all is asked first (``safe.directory``).
"""

from __future__ import annotations

import os
import re
from pathlib import Path

from keras_integrity_hook.errors import InsecurePermissionsError
from keras_integrity_hook.files import temporary

_SECONDS = 10.0
_COMMIT = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")
_CONFIGURATION = "[core]\n\trepositoryformatversion = {version}\n\tbare = false\n"
_SHA256 = "[extensions]\n\tobjectFormat = sha256\n"


def state(directory: str) -> str | None:
    """``"<commit> clean"`` or ``"<commit> dirty"``; untracked files do not count.

    None where it cannot be told: no git, no repository or one of another user, no commit yet,
    nothing heard within seconds, no directory for temporary files that is safe from others.

    Args:
        directory: a directory of the working copy.
    """
    try:
        return _state(directory)
    except (OSError, ValueError, InsecurePermissionsError):
        return None


def _state(directory: str) -> str | None:
    # Names alone: nothing that rev-parse does here runs a program, whatever is configured.
    asked = ("--show-toplevel", "--git-path", "index", "--git-path", "objects", "--verify", "HEAD")
    output = _run(directory, "rev-parse", *asked)
    lines = [] if output is None else output.splitlines()
    if len(lines) != 4 or not _COMMIT.fullmatch(lines[3]):
        return None
    top, index, objects, commit = lines
    changed = _changes(
        commit, top, index=os.path.join(directory, index), objects=os.path.join(directory, objects)
    )
    if changed is None:
        return None
    return f"{commit} {'dirty' if changed else 'clean'}"


def _changes(commit: str, top: str, *, index: str, objects: str) -> str | None:
    """What differs from ``commit`` in the working copy at ``top``, for a look whether it is "";
    None where git failed."""
    with temporary.private_folder(for_children=True) as private:
        is_sha256 = len(commit) == 64
        text = _CONFIGURATION.format(version=int(is_sha256)) + (_SHA256 if is_sha256 else "")
        Path(private, "config").write_text(text, encoding="utf-8")
        Path(private, "HEAD").write_text(f"{commit}\n", encoding="utf-8")
        Path(private, "refs").mkdir()
        return _run(
            top,
            *("status", "--porcelain", "--untracked-files=no", "--ignore-submodules=dirty"),
            GIT_DIR=private,
            GIT_WORK_TREE=top,
            GIT_INDEX_FILE=index,
            GIT_OBJECT_DIRECTORY=objects,
            # The user's filters would be run on files that the repository chooses.
            GIT_CONFIG_GLOBAL=os.devnull,
            GIT_CONFIG_NOSYSTEM="1",
        )


def _run(directory: str, *arguments: str, **variables: str) -> str | None:
    """The output of git, None where it failed or took too long."""
    import subprocess

    inherited = {name: text for name, text in os.environ.items() if not name.startswith("GIT_")}
    harmless = {"GIT_OPTIONAL_LOCKS": "0", "GIT_NO_LAZY_FETCH": "1", "GIT_TERMINAL_PROMPT": "0"}
    try:
        done = subprocess.run(
            ["git", "-c", "core.fsmonitor=false", "-c", "core.pager=cat", *arguments],
            cwd=directory,
            env={**inherited, **harmless, **variables, "LC_ALL": "C"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            check=True,
            timeout=_SECONDS,
        )
    except subprocess.SubprocessError:
        return None
    return os.fsdecode(done.stdout)
