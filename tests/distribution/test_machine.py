# SPDX-License-Identifier: Apache-2.0
"""What root pulls for a machine, in a private ``/etc``: every user's loads believe it."""

from __future__ import annotations

import sys
from pathlib import Path

from tests.distribution.publisher import Publisher, entry, recalled
from tests.support import machine

ID = "ab" * 32
CLI = [sys.executable, "-m", "keras_integrity_hook.cli"]
# What the machine's files say to somebody else than root, who may not import what lies at root's.
MACHINE = """
import json, os, tomllib
from keras_integrity_hook import settings
from keras_integrity_hook.audit import listeners
from keras_integrity_hook.distribution import subscriptions
from keras_integrity_hook.signing import trust_file, trust_store
os.setgid(65534)
os.setuid(65534)
found = trust_store.store(machine_only=True)
(pulled,) = subscriptions.present()
assert pulled.current_until is not None, pulled
print(json.dumps([[k.name for k in found.keys], list(found.revoked_models), settings.mode().value]))
"""


def test_the_machines_files_are_pulled_by_root_and_count_as_the_machines(
    publisher: Publisher, tmp_path: Path
) -> None:
    etc = machine.make_etc(tmp_path, {})
    publisher.publish(entry("a", publisher.public) + recalled(ID), 'mode = "warn"\n')
    root = publisher.repository / "metadata" / "1.root.json"
    words = ["trust", "pull", "--machine", publisher.repository.as_uri(), "--root", str(root)]
    done = machine.run(["sh", "-c", 'umask 077; exec "$@"', "sh", *CLI, *words], etc)
    assert done.returncode == 0, done.stdout + done.stderr
    home = etc / "keras-integrity"
    for path, mode in ((home, 0o755), (home / "published", 0o755)):
        assert path.stat().st_mode & 0o777 == mode
    for path in (home / "policy.toml", home / "published" / "trust.toml"):
        assert path.stat().st_mode & 0o777 == 0o644
    told = machine.run([sys.executable, "-c", MACHINE], etc)
    assert told.stdout.strip() == f'[["a"], ["{ID}"], "warn"]', told.stderr

    publisher.publish(policy='mode = "enforce"\nlock = ["mode"]\n')
    done = machine.run([*CLI, "trust", "pull", "--machine"], etc)
    assert done.returncode == 0, done.stdout + done.stderr
    assert (home / "policy.toml.previous").read_text() == 'mode = "warn"\n'
    told = machine.run([sys.executable, "-c", MACHINE], etc)
    assert told.stdout.strip().endswith('"enforce"]')


def test_a_directory_that_others_may_write_is_not_pulled_into(
    publisher: Publisher, tmp_path: Path
) -> None:
    etc = machine.make_etc(tmp_path, {})
    (etc / "keras-integrity").chmod(0o777)
    publisher.publish(entry("a", publisher.public))
    root = publisher.repository / "metadata" / "1.root.json"
    words = ["trust", "pull", "--machine", publisher.repository.as_uri(), "--root", str(root)]
    done = machine.run([*CLI, *words], etc)
    assert done.returncode == 1
    assert "can be written by others" in done.stderr
    assert not (etc / "keras-integrity" / "published" / "trust.toml").exists()
