# SPDX-License-Identifier: Apache-2.0
"""The timer of the page for administrators is one that systemd understands."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.support.documents import ROOT

UNIT = re.compile(r"```text\n# /etc/systemd/system/(?P<name>\S+)\n(?P<text>.*?)```", re.DOTALL)


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd is not here")
def test_the_units_on_the_page_are_in_order(tmp_path: Path) -> None:
    page = (ROOT / "docs" / "trust-for-many-machines.md").read_text()
    units = {one["name"]: one["text"] for one in UNIT.finditer(page)}
    assert sorted(units) == ["keras-integrity-trust.service", "keras-integrity-trust.timer"]
    for name, text in units.items():
        # The command need not be installed where the tests run.
        (tmp_path / name).write_text(text.replace("/usr/bin/keras-integrity", "/bin/true"))
    done = subprocess.run(
        ["systemd-analyze", "verify", *(tmp_path / name for name in units)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
