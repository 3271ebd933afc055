# SPDX-License-Identifier: Apache-2.0
"""Results of audits as an audit writes them, of models that there never were."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

from keras_integrity_hook.fleet.findings import Finding, Observation, Outcome, Refusal, State
from keras_integrity_hook.fleet.results import Run, Writer

BEGUN = datetime(2026, 11, 1, 3, tzinfo=UTC)
_ROOT = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"


def a_run(number: int = 0) -> Run:
    """A run of one night; each ``number`` is a night later."""
    begun = BEGUN + timedelta(days=number)
    return Run(
        run=f"{begun:%Y%m%dT%H%M%SZ}-{number:04x}",
        verb="scan",
        locations=("s3://models/", "/srv/models"),
        begun=begun,
        hook="0.2.0",
    )


def some_findings(run: Run, count: int) -> Iterator[Finding]:
    """``count`` findings of ``run``, each kind in turn: good, unsealed, damaged, dangerous, gone,
    unsigned."""
    for number in range(count):
        yield _KINDS[number % len(_KINDS)](run, number)


def write_audit(directory: Path, *, count: int = 60, nights: int = 3) -> list[Run]:
    """Results of several nights below ``directory``, of which the last was killed."""
    written = []
    for night in range(nights):
        run = a_run(night)
        with Writer(str(directory), run) as writer:
            writer.add(some_findings(run, count))
            if night + 1 < nights:
                run = writer.end(count, at=run.begun + timedelta(hours=1))
            else:
                writer.flush()
        written.append(run)
    return written


def _good(run: Run, number: int) -> Finding:
    return Finding(
        location=f"s3://models/team-{number % 7}/good-{number}.keras",
        state=State.SEALED,
        outcome=Outcome.PASSED,
        examined=run.begun + timedelta(seconds=number),
        run=run.run,
        size=123_456 + number,
        version=f'"etag-{number}"',
        bytes_read=123_456 + number,
        seconds=0.021,
        container="keras-zip",
        assurance="signed",
        signers=("release", "alice") if number % 2 else ("release",),
        algorithm="sha256" if number % 3 else "blake2b",
        root=_ROOT,
        sealed_at=run.begun - timedelta(days=number),
        expires=run.begun + timedelta(days=number) if number % 4 == 0 else None,
        model=f"fraud-{number % 5}",
        model_version=f"1.{number}.0",
        is_registered=True,
        inspection="fine",
    )


def _unsealed(run: Run, number: int) -> Finding:
    return Finding(
        location=f"/srv/models/old/unsealed-{number}.weights.h5",
        state=State.UNSEALED,
        outcome=Outcome.PASSED,
        examined=run.begun + timedelta(seconds=number),
        run=run.run,
        size=1_000,
        version=f"1000-{number}",
        bytes_read=1_000,
        seconds=0.002,
        container="hdf5",
        inspection="fine",
    )


def _damaged(run: Run, number: int) -> Finding:
    parts = (f"layers/dense_{number}/vars/0", "layers/dense/vars/1")
    return Finding(
        location=f"s3://models/damaged-{number}.keras",
        state=State.DAMAGED,
        outcome=Outcome.REFUSED,
        examined=run.begun + timedelta(seconds=number),
        run=run.run,
        size=5_000_000,
        version=f'"damaged-{number}"',
        bytes_read=5_000_000,
        seconds=0.4,
        container="keras-zip",
        assurance="integrity only",
        algorithm="sha256",
        root=_ROOT,
        sealed_at=run.begun - timedelta(days=400),
        inspection="fine",
        refusals=(
            Refusal(
                "checksum-mismatch",
                f"1 of 5 chunks does not match the seal: {parts[0]}",
                "The file was changed after it was saved: restore it from a trusted copy.",
            ),
            Refusal("not-signed", "nobody who is trusted has signed", "Sign it."),
        ),
        damaged_parts=parts,
    )


def _dangerous(run: Run, number: int) -> Finding:
    return Finding(
        location=f"s3://models/<b>dangerous</b>-{number}.keras",
        state=State.SEALED,
        outcome=Outcome.REFUSED,
        examined=run.begun + timedelta(seconds=number),
        run=run.run,
        size=2_000,
        version=f'"dangerous-{number}"',
        bytes_read=2_000,
        seconds=0.01,
        container="keras-zip",
        assurance="integrity only",
        algorithm="sha256",
        root=_ROOT,
        sealed_at=run.begun - timedelta(days=2),
        inspection="refuse",
        observations=(
            Observation("gadget", "refuse", "builtins>eval in layer 'dense' of config.json: runs"),
            Observation("lambda-code", "review", "code in layer 'lambda' of config.json: runs"),
        ),
        refusals=(Refusal("dangerous-model", "it would run builtins>eval", "Do not load it."),),
    )


def _gone(run: Run, number: int) -> Finding:
    return Finding(
        location=f"s3://models/gone-{number}.keras",
        state=State.UNKNOWN,
        outcome=Outcome.FAILED,
        examined=run.begun + timedelta(seconds=number),
        run=run.run,
        refusals=(Refusal("unreadable", "it is not there any more", "Check the path."),),
    )


def _unsigned(run: Run, number: int) -> Finding:
    return Finding(
        location=f"/srv/models/unsigned-{number}",
        state=State.SEALED,
        outcome=Outcome.REFUSED,
        examined=run.begun + timedelta(seconds=number),
        run=run.run,
        size=77_000,
        version=f"77000-{number}",
        bytes_read=77_000,
        seconds=0.05,
        container="saved-model",
        assurance="integrity only",
        algorithm="sha512",
        root=_ROOT,
        sealed_at=run.begun - timedelta(days=90),
        is_registered=False,
        inspection="review",
        observations=(Observation("custom-object", "review", "my_pkg>Scale in config.json: runs"),),
        refusals=(Refusal("not-signed", "nobody who is trusted has signed", "Sign it."),),
    )


_KINDS = (_good, _unsealed, _damaged, _dangerous, _gone, _unsigned)
