# SPDX-License-Identifier: Apache-2.0
"""A registry as files: written whole, read by anybody, believed by nobody without proof."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest

from keras_integrity_hook.errors import (
    MalformedEventError,
    RegistryError,
    RegistryForkError,
    RegistryUnavailableError,
)
from keras_integrity_hook.registry import export, merkle, mirrors, tiles, verdicts, whole
from keras_integrity_hook.registry.events import Recalled, RolesChanged
from keras_integrity_hook.registry.export import Exported
from keras_integrity_hook.registry.verdicts import Verdict
from keras_integrity_hook.signing import signers
from tests.support.logs import NOW, Log, Moment
from tests.support.registries import Cast, digests_of, promotion, registration
from tests.support.signers import make_key

ONE, TWO = registration(version="1.0"), registration(version="2.0")
UNKNOWN = digests_of("unknown")["sha256"]
DAY = timedelta(days=1)
BOTH = ("alice", "bob")


@pytest.fixture(scope="module")
def cast(tmp_path_factory: pytest.TempPathFactory) -> Cast:
    return Cast(tmp_path_factory.mktemp("cast"))


@pytest.fixture
def log(cast: Cast) -> Log:
    log = Log(cast)
    log.add(ONE, "carol")
    log.add(promotion(ONE), *BOTH)
    log.add(TWO, "carol")
    return log


@pytest.fixture
def mirror(tmp_path: Path) -> Path:
    return tmp_path / "mirror"


def exported(log: Log, mirror: Path, days: int = 0) -> Exported:
    now = NOW + days * DAY
    return export.export(Moment(log), str(mirror), log.key, now, now + DAY)


def told(log: Log, mirror: Path, digest: str, seen: bytes = b"", days: int = 0) -> Verdict:
    read = mirrors.in_directory(str(mirror))
    question = log.question(digest, keys=("1" * 64,), seen=seen)
    if seen:
        old = int(seen.split(b"\n")[1])
        proof = mirrors.MirroredLog(read).consistency(old)
        question = question._replace(consistency=proof)
    return verdicts.verify(mirrors.answer(read, digest), question, NOW + days * DAY)


def files(mirror: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(mirror)): path.read_bytes()
        for path in mirror.rglob("*")
        if path.is_file()
    }


def test_a_mirror_says_what_the_registry_says(log: Log, mirror: Path) -> None:
    done = exported(log, mirror)
    assert (done.size, done.added, done.digests, done.answers) == (4, 4, 6, 1)
    for digest in (*ONE.digests.values(), TWO.root):
        honest = verdicts.verify(log.answer(digest, lasts=DAY), log.question(digest), NOW)
        assert told(log, mirror, digest) == honest
    assert told(log, mirror, ONE.root).registrations[0].stages == ("production",)


def test_what_a_mirror_does_not_know_is_unknown_by_a_service_s_word(log: Log, mirror: Path) -> None:
    exported(log, mirror)
    verdict = told(log, mirror, UNKNOWN)
    assert (verdict.registrations, verdict.recalls) == ((), ())


@pytest.mark.parametrize("models", [5, 30, 90])
def test_each_answer_is_about_a_few_digests_and_every_digest_has_one(
    log: Log, mirror: Path, models: int
) -> None:
    recalled = digests_of("recalled")
    log.add(Recalled("root", recalled["sha512"], "poisoned", recalled), "carol")
    for number in range(models):
        log.add(registration(f"model {number}"), "carol")
    done = exported(log, mirror)
    assert done.digests == 3 * (models + 3)
    assert done.answers == 16 if models < 80 else 256
    for number in range(models):
        body = registration(f"model {number}")
        (found,) = told(log, mirror, body.digests["blake2b"]).registrations
        assert found.model == f"model {number}"
    for digest in recalled.values():
        assert told(log, mirror, digest).recalls
    assert not told(log, mirror, UNKNOWN).registrations


def test_a_recalled_model_cannot_pass_for_an_unknown_one(log: Log, mirror: Path) -> None:
    """Whoever holds the bucket takes the file away, or puts that of other digests in its place."""
    for number in range(20):
        log.add(registration(f"model {number}"), "carol")
    log.add(Recalled("root", ONE.root, "poisoned"), "carol")
    exported(log, mirror)
    pointer = mirrors.pointer((mirror / mirrors.POINTER).read_bytes())
    mine = mirror / pointer.path(ONE.root[: pointer.digits])
    other = mirror / pointer.path("0" if ONE.root[0] != "0" else "1")
    assert told(log, mirror, ONE.root).recalls
    shutil.copy(other, mine)
    with pytest.raises(MalformedEventError):
        told(log, mirror, ONE.root)
    mine.unlink()
    with pytest.raises(RegistryUnavailableError):
        told(log, mirror, ONE.root)


def test_a_pointer_cannot_lead_to_answers_about_other_digests(log: Log, mirror: Path) -> None:
    exported(log, mirror)
    pointer = mirrors.pointer((mirror / mirrors.POINTER).read_bytes())
    there = mirror / pointer.path("")
    there.with_name(ONE.root[0]).write_bytes(there.read_bytes().replace(b'["*"]', b'["0*"]'))
    (mirror / mirrors.POINTER).write_bytes(mirrors.spelled(pointer._replace(digits=1)))
    with pytest.raises(MalformedEventError):
        told(log, mirror, ONE.root)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"null",
        b"[]",
        b"{}",
        b'{"moment": "../../etc", "digits": 0}',
        b'{"moment": "4-20260701T120000Z/..", "digits": 0}',
        b'{"moment": "4-20260701T120000Z", "digits": 99}',
        b'{"moment": "4-20260701T120000Z", "digits": true}',
        b'{"moment": 4, "digits": 0}',
        b'{"moment": "4-20260701T120000Z", "digits": 0, "more": 1}',
        b"[" * 2000,
    ],
)
def test_a_pointer_that_points_elsewhere_is_refused(log: Log, mirror: Path, data: bytes) -> None:
    exported(log, mirror)
    (mirror / mirrors.POINTER).write_bytes(data)
    with pytest.raises(MalformedEventError):
        told(log, mirror, ONE.root)


def test_where_nothing_is_there_is_no_mirror(log: Log, mirror: Path) -> None:
    with pytest.raises(RegistryUnavailableError):
        told(log, mirror, ONE.root)
    with pytest.raises(ValueError, match="digest"):
        mirrors.answer(mirrors.in_directory(str(mirror)), "../../etc/passwd")


def test_a_mirror_that_nobody_brings_up_to_date_ends(log: Log, mirror: Path) -> None:
    exported(log, mirror)
    with pytest.raises(RegistryUnavailableError):
        told(log, mirror, ONE.root, days=1)
    exported(log, mirror, days=1)
    assert told(log, mirror, ONE.root, days=1).registrations


def test_a_mirror_is_continued_and_what_was_seen_before_is_proven(log: Log, mirror: Path) -> None:
    exported(log, mirror)
    seen = told(log, mirror, ONE.root).note
    log.add(Recalled("root", ONE.root, "poisoned"), "carol")
    done = exported(log, mirror, days=1)
    assert (done.size, done.added) == (5, 1)
    verdict = told(log, mirror, ONE.root, seen, days=1)
    assert verdict.recalls
    assert verdict.checkpoint.size == 5


def test_what_never_changes_is_never_written_again(log: Log, mirror: Path) -> None:
    exported(log, mirror)
    before = {path: os.stat(mirror / path).st_ino for path in files(mirror) if "tile/" in path}
    log.add(registration("other"), "carol")
    exported(log, mirror, days=1)
    assert before
    assert {path: os.stat(mirror / path).st_ino for path in before} == before


def test_answers_that_somebody_may_be_reading_stay_once_more(log: Log, mirror: Path) -> None:
    for days in range(4):
        exported(log, mirror, days)
        assert len(list((mirror / mirrors.ANSWERS).iterdir())) == min(days + 1, 2)


def test_a_reader_is_not_stopped_by_new_answers(log: Log, mirror: Path) -> None:
    """The answers that a pointer names go away between two reads."""
    exported(log, mirror)
    stale, read = [(mirror / mirrors.POINTER).read_bytes()], mirrors.in_directory(str(mirror))
    for days in (1, 2):
        exported(log, mirror, days)

    def slow(path: str, limit: int) -> bytes | None:
        return stale.pop() if path == mirrors.POINTER and stale else read(path, limit)

    question = log.question(ONE.root)
    assert verdicts.verify(mirrors.answer(slow, ONE.root), question, NOW + 2 * DAY)


def test_another_log_does_not_take_a_mirrors_place(log: Log, mirror: Path) -> None:
    """A backup was put back, and somebody exports it; the mirror is as it was."""
    log.add(Recalled("root", ONE.root, "poisoned"), "carol")
    exported(log, mirror)
    before = files(mirror)
    shorter = log.forked(3)
    with pytest.raises(RegistryForkError):
        exported(shorter, mirror, days=1)
    for number in range(5):
        shorter.add(registration(f"filler {number}"), "carol")
    with pytest.raises(RegistryForkError):
        exported(shorter, mirror, days=1)
    assert files(mirror) == before


def test_a_registry_that_changes_meanwhile_is_not_exported_in_parts(log: Log, mirror: Path) -> None:
    moment = Moment(log)
    log.add(registration("other"), "carol")
    with pytest.raises(RegistryError, match="changed"):
        export.export(moment, str(mirror), log.key, NOW, NOW + DAY)
    assert mirrors.POINTER not in files(mirror)


def test_a_mirror_that_nobody_would_believe_is_not_made(
    log: Log, mirror: Path, tmp_path: Path
) -> None:
    exported(log, mirror)
    before = (mirror / mirrors.POINTER).read_bytes()
    make_key(tmp_path / "stranger")
    log.key = signers.find(str(tmp_path / "stranger"))
    with pytest.raises(RegistryError, match="nobody would believe"):
        exported(log, mirror, days=1)
    assert (mirror / mirrors.POINTER).read_bytes() == before


def test_answers_end_with_the_key_that_signed_them(log: Log, mirror: Path) -> None:
    (service,) = log.cast.roles().services
    soon = service._replace(expires="2026-07-01T13:00:00Z")
    log.add(RolesChanged(log.cast.roles(services=(soon,))), *BOTH)
    assert exported(log, mirror).until == "2026-07-01T13:00:00Z"


@pytest.mark.parametrize("stops_at", ["tile/", "answers/", "checkpoint", "mirror.json"])
def test_an_export_that_ends_early_leaves_the_old_mirror(
    log: Log, mirror: Path, stops_at: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At any step: what a reader gets is the moment before, whole, and the next export mends it."""
    exported(log, mirror)
    log.add(Recalled("root", ONE.root, "poisoned"), "carol")

    def stopping(write: Callable[[str, bytes], None]) -> Callable[[str, bytes], None]:
        def write_or_stop(path: str, data: bytes) -> None:
            if stops_at in path:
                raise OSError(28, "No space left on device", path)
            write(path, data)

        return write_or_stop

    with monkeypatch.context() as patched:
        patched.setattr(export, "_replace", stopping(export._replace))
        patched.setattr(export, "_write_new", stopping(export._write_new))
        with pytest.raises(RegistryError, match="No space left"):
            exported(log, mirror, days=1)
    assert told(log, mirror, ONE.root).checkpoint.size == 4
    exported(log, mirror, days=2)
    assert told(log, mirror, ONE.root, days=2).recalls


# The log in the mirror


def test_the_log_of_a_mirror_is_that_of_the_registry(log: Log, mirror: Path) -> None:
    while log.size < 300:
        log.add(promotion(ONE), *BOTH)
    exported(log, mirror)
    copied = mirrors.MirroredLog(mirrors.in_directory(str(mirror)))
    assert copied.size() == 300
    assert copied.entries(0, 999) == log.entries
    assert copied.entries(250, 270) == log.entries[250:270]
    assert merkle.inclusion_proof(7, 300, copied.nodes) == merkle.inclusion_proof(7, 300, log.nodes)
    assert whole.verify(copied, NOW).faults == ()


def test_where_a_file_stands_in_the_place_of_a_directory_there_is_no_mirror(mirror: Path) -> None:
    mirror.write_text("not a directory")
    with pytest.raises(RegistryUnavailableError, match=r"a file 'v1/mirror\.json'"):
        mirrors.answer(mirrors.in_directory(str(mirror)), ONE.root)


def test_the_files_of_the_log_are_those_of_the_specification(log: Log, mirror: Path) -> None:
    exported(log, mirror)
    names = {name for name in files(mirror) if "answers" not in name}
    assert names == {
        *("v1/mirror.json", "v1/checkpoint", "v1/tile/0/000.p/4", "v1/tile/entries/000.p/4")
    }
    hashes = tiles.hashes_of((mirror / "v1/tile/0/000.p/4").read_bytes(), 4)
    assert hashes == [merkle.leaf_hash(entry) for entry in log.entries]


@pytest.mark.parametrize("name", ["v1/tile/0/000.p/4", "v1/tile/entries/000.p/4"])
def test_a_mirror_whose_log_was_changed_is_found_out(log: Log, mirror: Path, name: str) -> None:
    exported(log, mirror)
    data = bytearray((mirror / name).read_bytes())
    data[40] ^= 1
    (mirror / name).write_bytes(data)
    copied = mirrors.MirroredLog(mirrors.in_directory(str(mirror)))
    assert whole.verify(copied, NOW).faults


def test_who_may_read_the_files_is_for_the_umask_to_say(log: Log, mirror: Path) -> None:
    before = os.umask(0o027)
    try:
        exported(log, mirror)
    finally:
        os.umask(before)
    for path in mirror.rglob("*"):
        assert path.stat().st_mode & 0o777 == (0o750 if path.is_dir() else 0o640), path
