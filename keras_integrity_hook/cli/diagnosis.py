# SPDX-License-Identifier: Apache-2.0
"""What ``doctor`` concludes from the facts: is a fresh interpreter protected, and if not, why."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any, NamedTuple

from keras_integrity_hook import settings
from keras_integrity_hook.errors import IntegrityError

_PACKAGE = "keras_integrity_hook"


class Finding(NamedTuple):
    """Something that is wrong (``fatal``) or worth knowing, in a sentence or two."""

    fatal: bool
    text: str


def diagnose(facts: dict[str, Any]) -> Iterator[Finding]:
    """What the facts of a fresh interpreter mean."""
    files, copies = facts.get("startup_files", []), facts.get("copies", [])
    if "armed" not in facts:
        yield Finding(True, "The fresh interpreter did not get as far as running our question.")
    elif not facts["armed"]:
        yield Finding(True, f"The hook is not armed when Python starts. {_why_unarmed(facts)}")
    elif facts["keras_loaded"]:
        yield Finding(
            True, "Keras is imported by another start-up file; ours may have come too late."
        )
    if len({file.rpartition(".")[0] for file in files}) > 1:
        yield Finding(False, "There is more than one start-up file; uninstall all but one copy.")
    if len(facts.get("distributions", [])) > 1:
        yield Finding(False, "The package is installed more than once on this interpreter's path.")
    if loaded := facts.get("loaded_from"):
        home = os.path.dirname(os.path.dirname(os.path.realpath(loaded)))
        others = [place for place in copies if place != home]
        if others:
            yield Finding(
                False,
                f"Another directory called {_PACKAGE} is importable too, in {', '.join(others)}; "
                "the package in use is named above.",
            )
    yield from _diagnose_keras(facts)
    yield from _diagnose_policy(facts)
    yield from _diagnose_sitecustomize(facts)
    if facts.get("exit_status"):
        last = (facts.get("stderr") or ["no message"])[-1]
        yield Finding(True, f"The interpreter ended with status {facts['exit_status']}: {last}")


def _diagnose_keras(facts: dict[str, Any]) -> Iterator[Finding]:
    try:
        now = settings.at()
    except IntegrityError as error:
        if not facts["policy"]["error"]:  # else it is told with the policy
            yield Finding(True, error.in_one_line())
        return
    if facts.get("missing"):
        yield Finding(False, "Keras is not installed here; there is nothing to protect yet.")
    elif facts.get("error"):
        yield Finding(True, f"Importing Keras failed: {facts['error']}")
    elif now.mode is settings.Mode.OFF:
        where = now.origins["mode"]
        yield Finding(True, f"The mode is off ({where}): you have opted out of protection.")
    elif "keras" in facts:
        targets = facts["targets"]
        naked = [name for name, state in targets if not _is_accounted_for(name, state)]
        naked += [name for name, wrapped in facts["public"].items() if wrapped is False]
        if naked or not targets:
            yield Finding(True, f"Not guarded: {', '.join(naked) or 'all of Keras'}.")


def _is_accounted_for(name: str, state: str) -> bool:
    """Whether it is in order that a target is in this state once Keras has been imported."""
    # Keras loads all of its own modules; TensorFlow and tf_keras may not be in use.
    return state in ("wrapped", "absent") or (
        state == "not loaded" and not name.startswith("keras.")
    )


def _why_unarmed(facts: dict[str, Any]) -> str:
    if not facts.get("startup_files"):
        return (
            "No start-up file (keras_integrity_hook.pth or .start) in a site directory of "
            f"{facts['executable']}: install the package with pip into this very environment. "
            "'pip install --target' and a directory on PYTHONPATH do not activate it."
        )
    if not facts.get("copies"):
        return "The start-up file is there but the package is not: install it again."
    return "The start-up file did not run or failed; read the messages of 'python -v'."


def _diagnose_policy(facts: dict[str, Any]) -> Iterator[Finding]:
    """What the machine's policy means here, and what to do about one that cannot be relied on."""
    policy = facts["policy"]
    path, error = policy["path"], policy["error"]
    if policy["state"] == "hidden":
        found = error["evidence"]["found"]
        yield Finding(
            False,
            f"Whether there is a policy {path} cannot be told: {error['message']}. Until it can, "
            "KERAS_INTEGRITY=off has no effect and models without a seal are refused. In a "
            f"container or a user namespace, let {found} belong to the root that it has.",
        )
    elif policy["state"] == "insecure":
        found = error["evidence"]["found"] or path
        yield Finding(
            True,
            f"The machine's policy {path} is insecure: {error['message']}. No model is loaded "
            f"until that is mended: read what it says, then, as root, 'chown root:root {found}' "
            f"and 'chmod go-w {found}'.",
        )
    elif error:
        yield Finding(
            True,
            f"The machine's policy {path} cannot be used: {error['message']}. No model is loaded "
            f"until root has corrected it; 'keras-integrity policy check {path}' tells more.",
        )
    elif "mode" in policy["locked"]:
        yield from _about_lock(path)


def _about_lock(path: str) -> Iterator[Finding]:
    asked = os.environ.get(settings.MODE_VARIABLE, "").lower()
    if asked in ("off", "warn"):
        yield Finding(
            False,
            f"{settings.MODE_VARIABLE}={asked} is set and has no effect here: {path} locks the "
            "mode. A program that tries is recorded in the audit log.",
        )


def _diagnose_sitecustomize(facts: dict[str, Any]) -> Iterator[Finding]:
    """Whether the block that an admin put in is there, whole, and read."""
    clean, here = facts.get("sitecustomize"), facts.get("sitecustomize_here")
    if not clean or not here:
        return
    if clean["block"] in ("outdated", "broken"):
        yield Finding(
            False,
            f"The block in {clean['path']} is {clean['block']}; as root, 'keras-integrity site "
            "install' renews it, and tells what is wrong with one that was edited.",
        )
    if here["path"] != clean["path"] and clean["block"] != "absent" and here["block"] != "current":
        yield Finding(
            False,
            f"{here['path']} hides {clean['path']} here, which would arm the hook: PYTHONPATH or "
            "the user's own site directory comes first.",
        )
