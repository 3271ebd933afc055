# SPDX-License-Identifier: Apache-2.0
"""Where somebody may have hidden the machine's policy, its absence does not switch anything off.

In a user namespace anybody may mount an empty directory over ``/etc/keras-integrity``. Root's
directories belong to nobody in there, which is how it can be told from a machine without a policy.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ASK = """
from keras_integrity_hook import settings
found = settings.at()
print(found.mode.value, found.unsealed.value, sorted(found.locked))
"""


def in_namespace(flags: str, *command: str) -> subprocess.CompletedProcess[str]:
    """Run a command that opts out in a user namespace of its own."""
    if os.geteuid() != 0 or shutil.which("unshare") is None:
        pytest.skip("needs root and unshare(1)")
    if os.path.lexists("/etc/keras-integrity/policy.toml"):
        pytest.skip("this machine has a policy")
    if subprocess.run(["unshare", flags, "true"], check=False, capture_output=True).returncode:
        pytest.skip("no user namespaces here")
    others = {k: v for k, v in os.environ.items() if not k.startswith("KERAS_INTEGRITY")}
    return subprocess.run(
        ["unshare", flags, sys.executable, *command],
        env={**others, "KERAS_INTEGRITY": "off", "KERAS_INTEGRITY_UNSEALED": "warn"},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


def test_absent_policy_below_directories_of_nobody_is_locked() -> None:
    done = in_namespace("-U", "-c", ASK)
    assert done.stdout.strip() == "enforce reject ['mode', 'unsealed']", done.stderr


def test_absent_policy_of_a_container_with_a_root_of_its_own_is_absent() -> None:
    done = in_namespace("-Ur", "-c", ASK)
    assert done.stdout.strip() == "off warn []", done.stderr


def test_status_and_doctor_say_that_the_policy_may_be_hidden() -> None:
    done = in_namespace("-U", "-m", "keras_integrity_hook.cli", "site", "status", "--json")
    found = json.loads(done.stdout)
    assert found["policy"]["state"] == "hidden"
    assert found["policy"]["error"]["evidence"]["found"] == "/"
    assert found["opt_out_has_effect"] is False
    assert done.returncode == 1


def test_model_without_a_seal_is_refused_there(tmp_path: Path) -> None:
    (tmp_path / "model.weights.h5").write_bytes(b"\x89HDF\r\n\x1a\n" + bytes(4096))
    command = ("-m", "keras_integrity_hook.cli", "verify", str(tmp_path / "model.weights.h5"))
    done = in_namespace("-U", *command)
    assert done.returncode == 1
