# SPDX-License-Identifier: Apache-2.0
"""Run Keras's own tests, as its wheel ships them, with the hook off and on, and compare.

``python tests/upstream/run.py [--saving | --all | MODULE ...]``: the core (what CI runs), every
test about saving, or those and the tests of all layers. Exits with 1 when any
single test ends differently and is not one of EXPLAINED. A test that fails in both runs fails for
reasons of its own: equal.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple
from xml.etree import ElementTree

CORE = ("keras.src.saving.saving_api_test", "keras.src.saving.saving_lib_test")
SAVING = (
    *CORE,
    "keras.src.saving",
    "keras.src.legacy",
    "keras.src.export.saved_model_test",
    "keras.src.export.tfsm_layer_test",
    "keras.src.callbacks.backup_and_restore_test",
    "keras.src.callbacks.model_checkpoint_test",
    "keras.src.callbacks.orbax_checkpoint_test",
    "keras.src.callbacks.swap_ema_weights_test",
    "keras.src.models",
    "keras.src.utils.file_utils_test",
    "keras.src.layers.preprocessing.feature_space_test",
    "keras.src.layers.preprocessing.index_lookup_test",
    "keras.src.layers.preprocessing.string_lookup_test",
    "keras.src.layers.preprocessing.text_vectorization_test",
)
ALL = (*SAVING, "keras.src.layers")
CHOICES = {"--saving": SAVING, "--all": ALL}

# Tests that must end differently, with the words their failure has to contain, and why.
EXPLAINED = {
    # Keras notices the link while it loads and raises ValueError; the guard refuses it before.
    "test_load_weights_rejects_h5_external_link": "ExternalReferenceError",
    # The test edits a saved file and expects Keras's ValueError; it is refused as edited before.
    "test_load_weights_rejects_shape_bomb": "ChecksumMismatchError",
    # Keras raises ValueError for code in safe mode; the inspection refuses it before.
    "test_safe_mode": "DangerousModelError",
    "test_rejects_external_link_at_group_level": "ExternalReferenceError",
    "test_rejects_virtual_dataset": "ExternalReferenceError",
    # These count the files of sharded weights: the seal is one more.
    "test_load_sharded_weights": "3 != 2",
    "test_weights_sharding_efficientnet_b0_10": "5 != 4",
    "test_weights_sharding_efficientnet_b0_512": "3 != 2",
    # These assert that a failed save leaves an archive without weights at its destination. With the
    # hook a failed save leaves the destination as it was: here, not there.
    "test_save_model_exception_raised_high_memory_config": "False is not true",
    "test_save_model_exception_raised_low_memory_config": "False is not true",
}

HERE = Path(__file__).parent
REPOSITORY = HERE.parent.parent


class Outcome(NamedTuple):
    """How one test ended: ``state`` is passed, failed, error or skipped."""

    state: str
    message: str


Outcomes = dict[str, Outcome]


def start(modules: Sequence[str], mode: str, folder: Path) -> subprocess.Popen[bytes]:
    """Start pytest over ``modules`` under KERAS_INTEGRITY=``mode``; results go to ``folder``."""
    # Each run gets directories of its own: Keras's tests write below the temporary directory.
    scratch = folder / mode
    scratch.mkdir()
    environment = os.environ | {
        "KERAS_INTEGRITY": mode,
        "PYTHONPATH": os.pathsep.join([str(HERE), str(REPOSITORY)]),
        "TMPDIR": str(scratch),
        "TF_CPP_MIN_LOG_LEVEL": "3",
    }
    # Our own options (warnings as errors, coverage) are not Keras's.
    environment.pop("PYTEST_ADDOPTS", None)
    command = [
        *(sys.executable, "-m", "pytest", "-c", os.devnull, "--rootdir", str(scratch)),
        *("-p", "hook_plugin", "-p", "no:cacheprovider", "-q", "--tb=line"),
        # A module whose own dependency is not installed ends the same in both runs.
        "--continue-on-collection-errors",
        # The older family names the file of each test, which two modules' classes do not.
        *("-o", "junit_family=xunit1"),
        *(f"--junit-xml={folder / mode}.xml", "--pyargs", *modules),
    ]
    with (folder / f"{mode}.log").open("wb") as log:
        return subprocess.Popen(
            command, cwd=scratch, env=environment, stdout=log, stderr=subprocess.STDOUT
        )


def outcomes(junit: Path) -> Outcomes:
    """The state of every test in a JUnit file, by its full name."""
    found: Outcomes = {}
    for case in ElementTree.parse(junit).iter("testcase"):
        file = Path(case.get("file", "")).name
        name = f"{file}{case.get('classname')}::{case.get('name')}"
        state, message = "passed", ""
        for child in case:
            if child.tag in ("failure", "error", "skipped"):
                state = "failed" if child.tag == "failure" else child.tag
                message = child.get("message", "")
        found[name] = Outcome(state, message)
    return found


def both(modules: Sequence[str]) -> tuple[Outcomes, Outcomes]:
    """Outcomes without and with the hook; the two runs share the machine."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        runs = {mode: start(modules, mode, folder) for mode in ("off", "enforce")}
        for mode, process in runs.items():
            # 0: all passed, 1: some failed; anything else means that pytest itself did not work.
            if process.wait() not in (0, 1):
                raise SystemExit(
                    f"pytest under KERAS_INTEGRITY={mode} ended with {process.returncode}:\n"
                    + (folder / f"{mode}.log").read_text(errors="replace")[-4000:]
                )
        return outcomes(folder / "off.xml"), outcomes(folder / "enforce.xml")


def differences(plain: Outcomes, hooked: Outcomes) -> dict[str, str]:
    """A readable line for every test that ends differently, by the test's full name."""
    missing = Outcome("missing", "")
    found = {}
    for name in sorted(plain.keys() | hooked.keys()):
        before, after = plain.get(name, missing), hooked.get(name, missing)
        if before.state != after.state:
            found[name] = f"{before.state} without the hook, {after.state} with it: {after.message}"
    return found


def is_explained(name: str, line: str) -> bool:
    """Whether a difference is one that we want, and for the reason we want."""
    words = EXPLAINED.get(name.rpartition("::")[2])
    return words is not None and words in line and "failed with it" in line


def main(modules: Sequence[str]) -> int:
    """Compare, print, and return the exit code."""
    chosen = CHOICES.get(modules[0], modules) if modules else CORE
    plain, hooked = both(chosen)
    found = differences(plain, hooked)
    wrong = [name for name, line in found.items() if not is_explained(name, line)]
    states = [outcome.state for outcome in plain.values()]
    counts = ", ".join(f"{states.count(state)} {state}" for state in sorted(set(states)))
    print(f"Keras's own tests without the hook: {counts}")
    print(f"with it, {len(found)} end differently, {len(wrong)} of them without an explanation")
    for name, line in found.items():
        print(f"{'UNEXPLAINED' if name in wrong else 'explained'} {name}: {line[:500]}")
    if "passed" not in states:
        print("not one test passed without the hook: nothing was compared")
        return 1
    return 1 if wrong else 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
