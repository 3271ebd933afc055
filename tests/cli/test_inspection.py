# SPDX-License-Identifier: Apache-2.0
"""``inspect`` and ``diff`` as a person with a broken model uses them."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import h5py
import numpy as np
import pytest

import keras_integrity_hook
from tests.support.models import write_model
from tests.support.processes import cli, document, environment


@pytest.fixture
def good(tmp_path: Path) -> Path:
    path = write_model(tmp_path, "good.weights.h5")
    keras_integrity_hook.seal(path)
    return path


@pytest.fixture
def bad(good: Path) -> Path:
    """A copy of which one number is another."""
    data = bytearray(good.read_bytes())
    at = data.index(np.arange(128, dtype="float32").tobytes())
    data[at + 11] ^= 0x40  # 2.0 becomes 0.0
    path = good.with_name("bad one.weights.h5")
    path.write_bytes(data)
    return path


def test_inspect_does_not_call_sealed_what_it_has_not_checked(bad: Path) -> None:
    done = cli("inspect", bad)
    assert done.returncode == 0
    assert done.stdout.startswith("not-checked ")
    assert f"keras-integrity verify '{bad}'" in done.stdout
    assert "seal present, content not checked" in done.stdout.lower()


def test_a_command_that_is_to_be_copied_is_in_one_line(bad: Path) -> None:
    import pty

    parent, child = pty.openpty()
    name = bad.rename(bad.with_name("a name that is far too long for one line, really.weights.h5"))
    done = subprocess.run(
        [sys.executable, "-m", "keras_integrity_hook.cli", "inspect", name.name],
        env=environment(),
        cwd=name.parent,
        stdout=child,
        check=False,
    )
    os.close(child)
    with open(parent, "rb") as terminal:
        shown = terminal.read1(65536).decode()
    assert done.returncode == 0
    assert f"keras-integrity verify '{name.name}'" in shown


def test_inspect_compares_what_it_has_read(good: Path, bad: Path) -> None:
    done = cli("inspect", "--digest", bad)
    assert done.returncode == 1
    assert done.stdout.startswith("damaged ")
    assert "NOT as sealed" in done.stdout
    assert "damaged: layers/dense/vars/0" in done.stdout
    report = document(cli("inspect", "--digest", "--json", bad))["results"][0]["report"]
    assert report["is_intact"] is False
    done = cli("inspect", "--digest", good)
    assert done.returncode == 0
    assert done.stdout.startswith("sealed ")
    assert ", as sealed" in done.stdout


def test_inspect_lists_each_part_once_with_shape_and_type(tmp_path: Path) -> None:
    path = tmp_path / "large.weights.h5"
    with h5py.File(path, "w") as file:
        file["kernel"] = np.ones((700, 1000), "float32")  # over two chunks, so in three regions
        file["bias"] = np.ones(10, "float16")
    keras_integrity_hook.seal(path)
    lines = cli("inspect", path).stdout.splitlines()
    assert sum("kernel" in line for line in lines) == 1
    assert any(re.search(r"kernel +\(700, 1000\) float32, 2,800,000 bytes", one) for one in lines)
    assert any(re.search(r"bias +\(10,\) float16, 20 bytes", one) for one in lines)
    assert lines[-1].strip() == "2 parts, 700,010 numbers, 2,800,020 bytes"


def test_diff_tells_the_number_that_changed(good: Path, bad: Path) -> None:
    done = cli("diff", good, bad)
    assert done.returncode == 1
    assert "layers/dense/vars/0 (8, 16) float32: 1 of 128 values; 1 byte, 1 bit" in done.stdout
    assert "largest change at [0, 2]: 2 became 0" in done.stdout
    found = document(cli("diff", "--json", good, bad))
    assert found["ok"] is False
    assert [one["part"] for one in found["differences"]] == ["layers/dense/vars/0"]


def test_diff_of_the_same_is_silent_success(good: Path) -> None:
    done = cli("diff", good, good)
    assert done.returncode == 0
    assert done.stdout.startswith("same ")


def test_diff_of_what_is_not_there_is_one_error(good: Path) -> None:
    done = cli("diff", good, good.with_name("absent.keras"))
    assert done.returncode == 1
    assert done.stdout == ""
    assert "Traceback" not in done.stderr


def test_diff_needs_neither_keras_nor_numpy(good: Path, bad: Path) -> None:
    code = (
        "import sys\nfrom keras_integrity_hook.cli import main\n"
        "try:\n    main(['diff', *sys.argv[1:]])\nexcept SystemExit as end:\n"
        "    assert end.code == 1\n"
        "assert not {'keras', 'numpy', 'h5py', 'wrapt'} & set(sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", code, str(good), str(bad)], check=True)


def test_reports_are_short_in_a_session_and_tables_in_a_notebook(good: Path) -> None:
    report = keras_integrity_hook.verify(good)
    assert repr(report) == f"<Report {good}, sealed, integrity only>"
    looked_at = keras_integrity_hook.inspect(good)
    assert repr(looked_at) == f"<Report {good}, sealed, content not checked, integrity only>"
    assert "content not checked" in looked_at._repr_html_()
    assert len(repr(report.seal)) < 100
    assert "<table>" in report._repr_html_()
    assert "<script" not in keras_integrity_hook.report.html_table("<script>", [("<script>", "x")])
    status = repr(keras_integrity_hook.status())
    assert status.startswith("<Status ")
    assert len(status) < 300
