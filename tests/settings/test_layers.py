# SPDX-License-Identifier: Apache-2.0
"""Which layer decides, where several threads ask at once."""

from __future__ import annotations

import threading
from collections.abc import Callable

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
