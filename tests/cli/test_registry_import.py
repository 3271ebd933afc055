# SPDX-License-Identifier: Apache-2.0
"""``registry import revocations``: what trust files revoke is recalled for the fleet."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.support.processes import cli, document

ROOT, KEY = "ab" * 32, "cd" * 32


@pytest.fixture
def fleet(tmp_path: Path, home: Path) -> tuple[str, ...]:
    """Options that name a registry in which one person may do all."""
    url, key = f"sqlite:///{tmp_path}/fleet.db", tmp_path / "key"
    assert cli("keygen", "--no-passphrase", key).returncode == 0
    options = ("--registry", url, "--key", str(key))
    words = ("registry", "init", "--origin", "models.example.com/log", "--admin", "ann")
    done = cli(*words, *options)
    assert done.returncode == 0, done.stderr
    return options


def brought(fleet: tuple[str, ...], *more: str) -> list[dict[str, Any]]:
    told = document(cli("registry", "import", "revocations", *more, *fleet, "--json"))
    recalled = told["recalled"]
    assert isinstance(recalled, list)
    return recalled


def test_revocations_of_this_machine_are_recalled_once(fleet: tuple[str, ...]) -> None:
    cli("revoke", "model", "--root", ROOT, "--reason", "a leak in its data")
    cli("revoke", "key", KEY, "--reason", "stolen")
    (tried,) = brought(fleet, "--dry-run")
    (first,) = brought(fleet)
    assert tried == first
    assert (first["kind"], first["target"], first["changed"]) == ("root", ROOT, True)
    assert first["reason"] == "a leak in its data"
    (again,) = brought(fleet)
    assert again["changed"] is False
    _, key = brought(fleet, "--also-keys")
    assert (key["kind"], key["target"], key["changed"]) == ("key", KEY, True)


def test_revocations_of_a_file_are_recalled(fleet: tuple[str, ...], tmp_path: Path) -> None:
    file = tmp_path / "trust.toml"
    file.write_text(f'[[revoked_models]]\nroot = "{ROOT}"\n')
    done = cli("registry", "import", "revocations", file, *fleet)
    assert done.returncode == 0, done.stderr
    assert ROOT in done.stdout
    assert (
        "No trust file revokes a model" in cli("registry", "import", "revocations", *fleet).stdout
    )


def test_a_file_with_a_mistake_and_a_key_of_nobody_recall_nothing(
    fleet: tuple[str, ...], tmp_path: Path
) -> None:
    file, other = tmp_path / "trust.toml", tmp_path / "other"
    file.write_text("[[revoked_model]]\n")
    assert cli("registry", "import", "revocations", file, *fleet).returncode == 2
    file.write_text(f'[[revoked_models]]\nroot = "{ROOT}"\n')
    cli("keygen", "--no-passphrase", other)
    done = cli("registry", "import", "revocations", file, *fleet[:2], "--key", other)
    assert done.returncode == 1
    assert brought(fleet, str(file))[0]["changed"] is True
