# SPDX-License-Identifier: Apache-2.0
"""What ``doctor`` concludes from the facts: is a fresh interpreter protected, and if not, why."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from enum import StrEnum
from typing import Any

from keras_integrity_hook import settings
from keras_integrity_hook.cli.finding import Finding, Level, note, problem, unprotected
from keras_integrity_hook.errors import IntegrityError

_PACKAGE = "keras_integrity_hook"
# What Keras 3 computes with. One of them has to be there, and Keras installs none.
_BACKENDS = ("tensorflow", "jax", "torch", "openvino")


class Verdict(StrEnum):
    """What became of the question."""

    PROTECTED = "protected"
    ARMED = "armed"  # as soon as Keras can be imported
    UNPROTECTED = "unprotected"


def verdict(facts: dict[str, Any], findings: Sequence[Finding]) -> Verdict:
    """What the facts of a fresh interpreter and what was found in them come to."""
    if any(found.level is Level.UNPROTECTED for found in findings):
        return Verdict.UNPROTECTED
    return Verdict.PROTECTED if facts.get("keras") else Verdict.ARMED


def diagnose(facts: dict[str, Any]) -> Iterator[Finding]:
    """What the facts of a fresh interpreter mean."""
    files, copies = facts.get("startup_files", []), facts.get("copies", [])
    if "armed" not in facts:
        yield unprotected("The fresh interpreter did not get as far as running our question.")
    elif not facts["armed"]:
        yield unprotected(f"The hook is not armed when Python starts. {_why_unarmed(facts)}")
    elif facts["keras_loaded"]:
        yield unprotected(
            "Keras is imported by another start-up file; ours may have come too late."
        )
    if len({file.rpartition(".")[0] for file in files}) > 1:
        yield note("There is more than one start-up file; uninstall all but one copy.")
    if len(facts.get("distributions", [])) > 1:
        yield note("The package is installed more than once on this interpreter's path.")
    if loaded := facts.get("loaded_from"):
        home = os.path.dirname(os.path.dirname(os.path.realpath(loaded)))
        others = [place for place in copies if place != home]
        if others:
            yield note(
                f"Another directory called {_PACKAGE} is importable too, in {', '.join(others)}; "
                "the package in use is named above.",
            )
    yield from _diagnose_keras(facts)
    yield from _diagnose_policy(facts)
    yield from _diagnose_sitecustomize(facts)
    yield from _diagnose_pulled_trust()
    if facts.get("exit_status"):
        last = (facts.get("stderr") or ["no message"])[-1]
        yield problem(f"The interpreter ended with status {facts['exit_status']}: {last}")


def _diagnose_keras(facts: dict[str, Any]) -> Iterator[Finding]:
    try:
        now = settings.at()
    except IntegrityError as error:
        if not facts["policy"]["error"]:  # else it is told with the policy
            yield problem(error.in_one_line())
        return
    where = now.origins["mode"]
    if now.mode is settings.Mode.OFF:
        yield unprotected(f"The mode is off ({where}): you have opted out of protection.")
    elif now.mode is settings.Mode.WARN:
        yield note(f"The mode is warn ({where}): a damaged model is loaded, with a warning.")
    if "error" in facts:
        yield _about_import(facts)
    elif "keras" in facts and now.mode is not settings.Mode.OFF:
        targets = facts["targets"]
        naked = [name for name, state in targets if not _is_accounted_for(name, state)]
        naked += [name for name, wrapped in facts["public"].items() if wrapped is False]
        if naked or not targets:
            yield unprotected(f"Not guarded: {', '.join(naked) or 'all of Keras'}.")


def _about_import(facts: dict[str, Any]) -> Finding:
    """Why Keras could not be imported: something is missing, or something is wrong."""
    absent = (facts["absent"] or "").partition(".")[0]
    if absent == "keras":
        return note("Keras is not installed here; there is nothing to protect yet.")
    if absent in _BACKENDS:
        return note(
            f"Keras is installed and the backend that it is set to use, {absent}, is not: install "
            f"it ('pip install {absent}'), or name another one in the variable KERAS_BACKEND."
        )
    if absent:
        return note(
            f"Keras cannot be imported: the module {absent} is not installed. Install what needs "
            "it again."
        )
    return problem(f"Importing Keras failed: {facts['error']}")


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
        yield note(
            f"Whether there is a policy {path} cannot be told: {error['message']}. Until it can, "
            "KERAS_INTEGRITY=off has no effect and models without a seal are refused. In a "
            f"container or a user namespace, let {found} belong to the root that it has.",
        )
    elif policy["state"] == "insecure":
        found = error["evidence"]["found"] or path
        yield problem(
            f"The machine's policy {path} is insecure: {error['message']}. No model is loaded "
            f"until that is mended: read what it says, then, as root, 'chown root:root {found}' "
            f"and 'chmod go-w {found}'.",
        )
    elif error:
        yield problem(
            f"The machine's policy {path} cannot be used: {error['message']}. No model is loaded "
            f"until root has corrected it; 'keras-integrity policy check {path}' tells more.",
        )
    elif "mode" in policy["locked"]:
        yield from _about_lock(path)


def _about_lock(path: str) -> Iterator[Finding]:
    asked = os.environ.get(settings.MODE_VARIABLE, "").lower()
    if asked in ("off", "warn"):
        yield note(
            f"{settings.MODE_VARIABLE}={asked} is set and has no effect here: {path} locks the "
            "mode. A program that tries is recorded in the audit log.",
        )


def _diagnose_sitecustomize(facts: dict[str, Any]) -> Iterator[Finding]:
    """Whether the block that an admin put in is there, whole, and read."""
    clean, here = facts.get("sitecustomize"), facts.get("sitecustomize_here")
    if not clean or not here:
        return
    if clean["block"] in ("outdated", "broken"):
        yield note(
            f"The block in {clean['path']} is {clean['block']}; as root, 'keras-integrity site "
            "install' renews it, and tells what is wrong with one that was edited.",
        )
    if here["path"] != clean["path"] and clean["block"] != "absent" and here["block"] != "current":
        yield note(
            f"{here['path']} hides {clean['path']} here, which would arm the hook: PYTHONPATH or "
            "the user's own site directory comes first.",
        )


def _diagnose_pulled_trust() -> Iterator[Finding]:
    """Whether those from whom trust files are pulled are still heard."""
    from datetime import UTC, datetime

    from keras_integrity_hook.distribution import subscriptions

    try:
        found = subscriptions.present()
    except IntegrityError as error:
        yield problem(f"Trust files cannot be pulled: {error.in_one_line()}")
        return
    for one in found:
        if one.current_until is not None and one.is_behind(datetime.now(UTC)):
            machine = " --machine" if one.place.is_machine else ""
            yield note(
                f"Since {one.current_until:%Y-%m-%d} nothing has come from {one.url}, which is "
                f"pulled from: a recall may be missing. 'keras-integrity trust pull{machine}' "
                "says why.",
            )
