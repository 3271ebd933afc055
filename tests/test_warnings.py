# SPDX-License-Identifier: Apache-2.0
"""Nothing of ours warns by accident, or leaves a file open, where Python looks closely."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.models import write_model
from tests.support.processes import environment

KERAS = """
import gc, warnings
with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    import keras_integrity_hook
    keras_integrity_hook.activate()
    import keras
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)])
    model.save("m.keras")  # what is imported at the first save may warn
warnings.filterwarnings("error", category=ResourceWarning)
warnings.filterwarnings("error", category=keras_integrity_hook.IntegrityWarning)
for name in ("m.keras", "m.h5"):
    model.save(name)
    keras.saving.load_model(name)
model.save_weights("m.weights.h5")
model.load_weights("m.weights.h5")
with open("m.keras", "r+b") as file:
    file.truncate(2000)
try:
    keras.saving.load_model("m.keras")
except keras_integrity_hook.IntegrityError:
    print("refused")
gc.collect()
"""


def outcome(folder: Path, *arguments: object) -> tuple[str, str]:
    """Both outputs of a Python that looks closely."""
    done = subprocess.run(
        [sys.executable, "-X", "dev", *map(str, arguments)],
        cwd=folder,
        env=environment(HOME=str(folder)),
        capture_output=True,
        text=True,
        check=False,
        timeout=240,
    )
    assert done.returncode in (0, 1), done.stderr
    return done.stdout, done.stderr


@pytest.mark.parametrize(
    "command",
    ["seal", "verify", "inspect", "unseal", "reseal --reason x", "policy show", "status"],
)
def test_commands_warn_of_nothing(tmp_path: Path, command: str) -> None:
    paths = () if command in ("policy show", "status") else (write_model(tmp_path, "m.keras"),)
    cli = ("-W", "error", "-m", "keras_integrity_hook.cli")
    if command.split(maxsplit=1)[0] in ("verify", "unseal", "reseal"):
        assert outcome(tmp_path, *cli, "seal", *paths)[1] == ""
    printed, warned = outcome(tmp_path, *cli, *command.split(), *paths)
    assert printed
    assert warned == ""


def test_saves_loads_and_refusals_leave_no_file_open(tmp_path: Path) -> None:
    pytest.importorskip("keras")
    printed, warned = outcome(tmp_path, "-c", KERAS)
    assert printed.splitlines()[-1] == "refused"
    assert "unclosed" not in warned
