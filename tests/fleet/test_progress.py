# SPDX-License-Identifier: Apache-2.0
"""How far an audit is: rate and estimate, in one line that fits."""

from __future__ import annotations

from collections import Counter

import pytest

from keras_integrity_hook.cli import fleet_progress
from keras_integrity_hook.fleet.audit import Progress
from keras_integrity_hook.fleet.findings import Outcome


def progress(monkeypatch: pytest.MonkeyPatch, **facts: object) -> Progress:
    monkeypatch.setattr("time.monotonic", lambda: 100.0)
    return Progress(begun=90.0, **facts)  # type: ignore[arg-type]


def test_while_more_is_found_there_is_no_estimate(monkeypatch: pytest.MonkeyPatch) -> None:
    now = progress(monkeypatch, found=2_000, examined=500, size=1_500_000)
    assert fleet_progress.line(now) == "500 of 2,000+ models  1.5 MB  50.0/s"


def test_the_estimate_counts_what_earlier_starts_have_done(monkeypatch: pytest.MonkeyPatch) -> None:
    now = progress(
        monkeypatch,
        found=1_000,
        is_complete=True,
        before=5_000,
        examined=5_500,
        outcomes=Counter({Outcome.REFUSED: 2, Outcome.FAILED: 1, Outcome.PASSED: 5_497}),
    )
    line = fleet_progress.line(now)
    assert line == "5,500 of 6,000 models  0 bytes  50.0/s  3 not good  about 0:10 left"
    assert len(line) < 79
