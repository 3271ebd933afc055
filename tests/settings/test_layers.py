# SPDX-License-Identifier: Apache-2.0
"""Which layer decides, where several threads ask at once."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from keras_integrity_hook import InsecurePermissionsError
from keras_integrity_hook.settings import layers, toml_file
from keras_integrity_hook.settings.choices import Require
from keras_integrity_hook.settings.layers import Layers
from keras_integrity_hook.settings.toml_file import Entry, Layer

POLICY = b"""
[[rules]]
path = "/signed/**"
require = "signed"
[[rules]]
path = "/open/**"
require = "nothing"
"""


class Interrupting:
    """A value in the midst of whose comparison another thread gets its turn."""

    def __init__(self, turns: list[Callable[[], object]]) -> None:
        self._turns = turns

    def __eq__(self, other: object) -> bool:
        if self._turns:
            thread = threading.Thread(target=self._turns.pop())
            thread.start()
            thread.join(100)
        return True

    __hash__ = None  # type: ignore[assignment]


def configured(turns: list[Callable[[], object]]) -> Layers:
    policy = toml_file.parse(POLICY, "/home/user/policy.toml", Layer.USER)
    return Layers((policy,), None, {"comment": Entry(Interrupting(turns), "test")})


def test_another_thread_does_not_swap_the_rule_that_a_model_is_under() -> None:
    """The settings that were kept are looked at once: a second look finds another thread's."""

    def other_thread() -> None:
        assert layers.resolve(configured([]), "/open/m.keras").require is Require.NOTHING

    kept = layers.resolve(configured([other_thread]), "/signed/m.keras")
    again = layers.resolve(configured([other_thread]), "/signed/m.keras")
    assert kept.require is again.require is Require.SIGNED


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to give a file away")
@pytest.mark.parametrize("mode", [0o1777, 0o777, 0o755])
def test_policy_that_another_user_put_into_an_open_home_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mode: int
) -> None:
    """A service whose home is /tmp: "call" in a policy names a function, and anybody could."""
    home = tmp_path / "home"
    folder = home / ".config" / "keras-integrity"
    folder.mkdir(parents=True)
    home.chmod(mode)
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.delenv("XDG_CONFIG_HOME", raising=False)
    file = folder / "policy.toml"
    file.write_text('mode = "off"\n')
    file.chmod(0o644)
    assert layers.resolve(layers.current(), None).mode.value == "off"
    for path in (folder.parent, folder, file):
        os.chown(path, 12345, -1)
    if mode == 0o755:  # nobody but the owner of the home could have put it there
        assert layers.resolve(layers.current(), None).mode.value == "off"
        return
    with pytest.raises(InsecurePermissionsError, match="12345") as refused:
        layers.current()
    assert refused.value.path == str(file)
    theirs, mine = tmp_path / "theirs", tmp_path / "mine"
    theirs.mkdir(mode=0o777)
    theirs.chmod(mode)
    mine.mkdir()
    (mine / "keras-integrity").mkdir()
    (mine / "keras-integrity" / "policy.toml").write_text('mode = "off"\n')
    (theirs / ".config").symlink_to(mine)
    monkeypatch.setenv("HOME", str(theirs))
    assert layers.resolve(layers.current(), None).mode.value == "off"
    os.lchown(theirs / ".config", 12345, -1)
    with pytest.raises(InsecurePermissionsError, match="12345"):
        layers.current()
