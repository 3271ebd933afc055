# SPDX-License-Identifier: Apache-2.0
"""One model, examined where it lies and in a store: everything that is wrong is told, and nothing
that is wrong with it stops an audit."""

from __future__ import annotations

import pickle
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from keras_integrity_hook import api
from keras_integrity_hook.fleet import search
from keras_integrity_hook.fleet.audit import examine_all
from keras_integrity_hook.fleet.examine import examine, examine_target
from keras_integrity_hook.fleet.findings import Finding, Outcome, State
from keras_integrity_hook.fleet.options import Options, Verb
from keras_integrity_hook.limits import LIMITS
from tests.support import attacks, model_kinds
from tests.support.models import CONTAINERS, archive_bytes, write_model
from tests.support.signers import let_trust, make_key

SCAN = Options(run="r")
Where = Callable[[Path], str]


@pytest.fixture(params=["disk", "store"])
def where(request: pytest.FixtureRequest) -> Where:
    """What a file of the test is called: by its path, or by a URL after it was put there."""
    if request.param == "disk":
        return str
    store = request.getfixturevalue("odd")

    def put(path: Path) -> str:
        for one in path.parent.glob(f"{path.name}*"):
            store.objects[f"bucket/{one.name}"] = one.read_bytes()
        return f"odd://bucket/{path.name}"

    return put


def flipped(path: Path, at: int = 3000) -> Path:
    """``path`` with one bit of it changed."""
    data = bytearray(path.read_bytes())
    data[at] ^= 1
    path.write_bytes(data)
    return path


def codes(finding: Finding) -> list[str]:
    return [refusal.code for refusal in finding.refusals]


@pytest.mark.parametrize("name", CONTAINERS)
def test_a_sealed_model_passes_with_what_its_seal_says(
    tmp_path: Path, where: Where, name: str
) -> None:
    path = write_model(tmp_path, name)
    report = api.seal(path)
    assert report.seal
    found = examine(where(path), SCAN)
    assert (found.state, found.outcome) == (State.SEALED, Outcome.PASSED)
    assert (found.root, found.algorithm) == (report.seal.root, "sha256")
    assert (found.assurance, found.run, found.inspection) == ("integrity only", "r", "fine")
    assert found.size == found.bytes_read == path.stat().st_size
    assert found.version
    assert f"{found.sealed_at:%Y-%m-%dT%H:%M:%SZ}" == report.seal.created


@pytest.mark.parametrize("name", CONTAINERS)
def test_a_model_without_a_seal_passes_where_none_is_required(
    tmp_path: Path, where: Where, name: str
) -> None:
    location = where(write_model(tmp_path, name))
    found = examine(location, SCAN)
    assert (found.state, found.outcome) == (State.UNSEALED, Outcome.PASSED)
    found = examine(location, Options(policy='unsealed = "reject"'))
    assert (found.state, found.outcome) == (State.UNSEALED, Outcome.REFUSED)
    assert codes(found) == ["unsealed"]


def test_a_damaged_model_is_told_with_its_layers(tmp_path: Path, where: Where) -> None:
    path = write_model(tmp_path, "model.weights.h5")
    api.seal(path)
    found = examine(where(flipped(path, path.stat().st_size - 2100)), SCAN)
    assert (found.state, found.outcome) == (State.DAMAGED, Outcome.REFUSED)
    assert codes(found) == ["checksum-mismatch"]
    assert found.damaged_parts


def test_every_reason_is_told_the_gravest_first(tmp_path: Path, where: Where) -> None:
    config = b'{"class_name": "Lambda", "config": {"function": {"module": "os"}}}'
    path = tmp_path / "model.keras"
    path.write_bytes(archive_bytes(config=config))
    api.seal(path)
    found = examine(where(flipped(path)), Options(policy='require = "signed"'))
    assert codes(found)[0] in ("checksum-mismatch", "malformed-seal")
    assert "not-signed" in codes(found)
    assert found.state is State.DAMAGED


def test_what_runs_code_is_refused_with_what_was_found(tmp_path: Path, where: Where) -> None:
    config = b'{"module": "builtins", "class_name": "eval", "config": {"a": 1}}'
    path = tmp_path / "model.keras"
    path.write_bytes(archive_bytes(config=config))
    api.seal(path)
    found = examine(where(path), SCAN)
    assert (found.state, found.outcome) == (State.SEALED, Outcome.REFUSED)
    assert codes(found) == ["dangerous-model"]
    assert found.observations
    assert found.inspection == "refuse"


@pytest.mark.parametrize(
    ("content", "code", "state"),
    [
        (b"", "not-a-model", State.UNKNOWN),
        (b"no model", "not-a-model", State.UNKNOWN),
        (archive_bytes()[:-30], "damaged-file", State.DAMAGED),
    ],
    ids=["empty", "text", "cut"],
)
def test_what_is_no_model_or_half_of_one_is_refused(
    tmp_path: Path, where: Where, content: bytes, code: str, state: State
) -> None:
    path = tmp_path / "model.keras"
    path.write_bytes(content)
    found = examine(where(path), SCAN)
    assert (found.state, found.outcome, codes(found)) == (state, Outcome.REFUSED, [code])


def test_what_vanished_is_no_good_news_and_no_crash(tmp_path: Path, where: Where) -> None:
    path = write_model(tmp_path, "model.keras")
    location = where(path)
    path.unlink()
    if location.startswith("odd:"):
        location = "odd://bucket/another.keras"
    found = examine(location, SCAN)
    assert (found.state, found.outcome) == (State.UNKNOWN, Outcome.FAILED)
    assert codes(found) == ["unreadable"]


def test_who_signed_is_told_where_nobody_asks_and_where_a_policy_does(
    tmp_path: Path, where: Where, home: Path
) -> None:
    key = tmp_path / "release.key"
    let_trust("release", make_key(key))
    path = write_model(tmp_path, "model.keras")
    api.seal(path)
    api.sign(path, key=str(key))
    location = where(path)
    for policy in ("", 'require = "signed"'):
        found = examine(location, Options(policy=policy))
        assert (found.assurance, found.signers) == ("signed", ("release",))
        assert found.outcome is Outcome.PASSED


def test_rules_of_the_policy_are_for_the_place_where_it_lies(tmp_path: Path, where: Where) -> None:
    location = where(write_model(tmp_path, "model.keras"))
    pattern = location.rpartition("/")[0] + "/**"
    rule = f'[[rules]]\npath = "{pattern}"\nunsealed = "reject"\n'
    assert codes(examine(location, Options(policy=rule))) == ["unsealed"]
    other = rule.replace(pattern, "/elsewhere/**")
    assert codes(examine(location, Options(policy=other))) == []


def test_a_seal_beside_the_file_counts(tmp_path: Path, where: Where) -> None:
    path = write_model(tmp_path, "model.keras")
    api.seal(path, store="sidecar")
    found = examine(where(path), SCAN)
    assert (found.state, found.outcome) == (State.SEALED, Outcome.PASSED)
    found = examine(where(flipped(path)), SCAN)
    assert (found.state, found.outcome) == (State.DAMAGED, Outcome.REFUSED)


def test_a_policy_with_a_mistake_is_no_pass(tmp_path: Path, where: Where) -> None:
    found = examine(where(write_model(tmp_path, "model.keras")), Options(policy="nonsense = 1"))
    assert (found.outcome, codes(found)) == (Outcome.FAILED, ["configuration"])


def test_findings_cross_process_boundaries(tmp_path: Path) -> None:
    path = write_model(tmp_path, "model.keras")
    api.seal(path)
    found = examine(str(flipped(path)), SCAN)
    assert pickle.loads(pickle.dumps(found)) == found


class WordlessError(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no response")


@pytest.mark.parametrize("error", [RuntimeError("the store \x1b[2J broke"), WordlessError()])
def test_what_nobody_thought_of_is_a_finding(odd: Any, error: Exception) -> None:
    def fail() -> bytes:
        raise error

    odd.streams["bucket/a.keras"] = (1000, fail)
    found = examine("odd://bucket/a.keras", SCAN)
    assert found.outcome is Outcome.FAILED
    assert found.refusals[0].cause.isprintable()


def test_an_object_that_never_ends_is_read_as_far_as_the_store_said(odd: Any) -> None:
    pieces = iter(range(1_000_000))

    def more() -> bytes:
        next(pieces)
        return b"x" * 1000

    odd.streams["bucket/a.keras"] = (10_000, more)
    found = examine("odd://bucket/a.keras", SCAN)
    assert found.outcome is Outcome.FAILED
    assert next(pieces) < 20


def test_an_object_that_drips_for_ever_is_given_up(odd: Any) -> None:
    odd.streams["bucket/a.keras"] = (1 << 40, lambda: b"x")
    found = examine("odd://bucket/a.keras", Options(seconds=0.2))
    assert found.outcome is Outcome.FAILED
    assert codes(found)[0] in ("examination-timeout", "unreadable")  # or there is no such room


def test_a_store_that_never_answers_holds_up_one_model_and_not_those_behind_it(
    tmp_path: Path, odd: Any
) -> None:
    sealed = write_model(tmp_path, "m.keras")
    api.seal(sealed)
    answer = threading.Event()

    def hang() -> bytes:
        answer.wait()
        return b"x" * 1000

    for name in ("a", "c"):
        odd.objects[f"bucket/{name}.keras"] = sealed.read_bytes()
    odd.streams["bucket/b.keras"] = (1000, hang)
    before = threading.active_count()
    found = examine_all(tuple(search.find(["odd://bucket"], to_change=False)), Options(seconds=0.2))
    assert [one.outcome for one in found] == [Outcome.PASSED, Outcome.FAILED, Outcome.PASSED]
    assert codes(found[1]) == ["examination-timeout"]
    answer.set()
    while threading.active_count() > before:  # it has nothing to say any more, and ends
        time.sleep(0.01)


def test_what_the_disk_has_no_room_for_is_not_fetched(odd: Any) -> None:
    def fail() -> bytes:
        raise AssertionError("it was fetched")

    odd.streams["bucket/a.keras"] = (1 << 44, fail)
    found = examine("odd://bucket/a.keras", SCAN)
    assert (found.outcome, codes(found)) == (Outcome.FAILED, ["unreadable"])
    assert "where temporary files go" in found.refusals[0].cause


def test_a_file_of_a_set_that_drips_for_ever_is_given_up(odd: Any) -> None:
    found = examine(_saved_model(odd, 1 << 30, lambda: b"x"), Options(seconds=0.2))
    assert found.outcome is Outcome.FAILED
    assert codes(found)[0] in ("examination-timeout", "unreadable")  # or there is no such room


def test_a_set_that_the_disk_has_no_room_for_is_not_fetched(odd: Any) -> None:
    def fail() -> bytes:
        raise AssertionError("it was fetched")

    found = examine(_saved_model(odd, 1 << 44, fail), SCAN)
    assert (found.outcome, codes(found)) == (Outcome.FAILED, ["unreadable"])
    assert "where temporary files go" in found.refusals[0].cause


def _saved_model(odd: Any, size: int, more: Callable[[], bytes]) -> str:
    """The URL of a SavedModel whose variables are said to have ``size`` bytes."""
    odd.objects["bucket/m/saved_model.pb"] = b"\x08\x01"
    odd.objects["bucket/m/variables/variables.index"] = b"index"
    odd.streams["bucket/m/variables/variables.data-00000-of-00001"] = (size, more)
    return "odd://bucket/m"


def test_an_object_may_have_a_name_that_no_file_has(odd: Any) -> None:
    name = "a" * 300 + ".keras"
    odd.objects[f"bucket/{name}"] = archive_bytes()
    assert examine(f"odd://bucket/{name}", SCAN).outcome is Outcome.PASSED


def test_copies_in_one_folder_know_nothing_of_each_other(tmp_path: Path, odd: Any) -> None:
    sealed = write_model(tmp_path, "a.keras")
    api.seal(sealed, store="sidecar")
    for name in ("a", "b", "c"):
        odd.objects[f"bucket/{name}.keras"] = archive_bytes()
    odd.objects["bucket/b.keras.seal"] = Path(f"{sealed}.seal").read_bytes()
    found = examine_all(tuple(search.find(["odd://bucket"], to_change=False)), SCAN)
    assert [one.state for one in found] == [State.UNSEALED, State.SEALED, State.UNSEALED]


SETS = ("directory", "saved-model", "shards.weights.json")


@pytest.mark.parametrize("name", SETS)
def test_a_set_in_a_store_is_read_once_and_its_damage_is_told(
    tmp_path: Path, odd: Any, keras: Any, name: str
) -> None:
    path = tmp_path / "m" / name
    model_kinds.save(attacks.build(1.0), path)
    for damage in (False, True):
        if damage:
            file = model_kinds.attacked_file(path)
            flipped(file, file.stat().st_size // 2)
        odd.read.clear()
        for one in path.parent.rglob("*"):
            if one.is_file():
                odd.objects[f"bucket/{one.relative_to(path.parent)}"] = one.read_bytes()
        (target,) = search.find(["odd://bucket"], to_change=False)
        (found,) = examine_all((target,), SCAN)
        assert found.location == f"odd://bucket/{name}"
        assert found.outcome is (Outcome.REFUSED if damage else Outcome.PASSED), found
        assert found.state is (State.DAMAGED if damage else State.SEALED)
        whole = {one: len(data) for one, data in odd.objects.items()}
        assert dict(odd.read) == whole
        assert found.bytes_read == sum(whole.values())


@pytest.mark.parametrize("name", SETS)
def test_seal_puts_the_seal_of_a_set_beside_it_in_the_store(
    tmp_path: Path, odd: Any, keras: Any, name: str
) -> None:
    path = tmp_path / "m" / name
    model_kinds.save(attacks.build(1.0), path)
    api.unseal(path)
    for one in path.parent.rglob("*"):
        if one.is_file():
            odd.objects[f"bucket/{one.relative_to(path.parent)}"] = one.read_bytes()
    before = set(odd.objects)
    (target,) = search.find(["odd://bucket"], to_change=True)
    found = examine_target(target, Options(Verb.SEAL))
    assert (found.state, found.outcome) == (State.SEALED, Outcome.PASSED), found
    assert len(set(odd.objects) - before) == 1
    assert examine_target(target, SCAN).root == found.root


@pytest.mark.parametrize("name", CONTAINERS)
def test_each_byte_of_a_store_is_read_once(tmp_path: Path, odd: Any, name: str) -> None:
    path = write_model(tmp_path, name)
    api.seal(path)
    odd.objects[f"bucket/{name}"] = path.read_bytes()
    found = examine(f"odd://bucket/{name}", SCAN)
    assert found.bytes_read == odd.read[f"bucket/{name}"] == path.stat().st_size


@pytest.mark.parametrize("name", CONTAINERS)
def test_seal_puts_a_sealed_copy_in_the_place_of_the_object(
    tmp_path: Path, where: Where, odd: Any, name: str
) -> None:
    location = where(write_model(tmp_path, name))
    found = examine(location, Options(Verb.SEAL, run="r", algorithm="blake2b"))
    assert (found.state, found.outcome, found.algorithm) == (
        *(State.SEALED, Outcome.PASSED),
        "blake2b",
    )
    again = examine(location, SCAN)
    assert (again.state, again.root) == (State.SEALED, found.root)
    before = dict(odd.objects)
    assert examine(location, Options(Verb.SEAL)).root == found.root  # it has one
    assert odd.objects == before


def test_sign_signs_what_matches_its_seal_and_nothing_else(
    tmp_path: Path, where: Where, home: Path
) -> None:
    key = tmp_path / "release.key"
    let_trust("release", make_key(key))
    good, bad = write_model(tmp_path, "good.keras"), write_model(tmp_path, "bad.keras")
    for path in (good, bad):
        api.seal(path)
    options = Options(Verb.SIGN, key=str(key))
    location = where(good)
    found = examine(location, options)
    assert (found.assurance, found.outcome) == ("signed", Outcome.PASSED)
    assert examine(location, SCAN).signers == ("release",)
    refused = examine(where(flipped(bad)), options)
    assert (refused.outcome, codes(refused)) == (Outcome.REFUSED, ["checksum-mismatch"])


def test_seal_leaves_alone_what_is_not_recognisably_keras(tmp_path: Path, odd: Any) -> None:
    import h5py

    with h5py.File(tmp_path / "data.h5", "w") as file:
        file["measured"] = [1.0]
    odd.objects["bucket/data.h5"] = data = (tmp_path / "data.h5").read_bytes()
    found = examine("odd://bucket/data.h5", Options(Verb.SEAL))
    assert found.outcome is Outcome.FAILED
    assert odd.objects["bucket/data.h5"] == data


def test_an_object_that_is_replaced_while_its_copy_is_sealed_stays(
    tmp_path: Path, odd: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    odd.objects["bucket/a.keras"] = archive_bytes()
    plain = api.seal

    def seal(*args: Any, **keywords: Any) -> Any:
        report = plain(*args, **keywords)
        odd.objects["bucket/a.keras"] = b"what somebody saved meanwhile"
        return report

    monkeypatch.setattr(api, "seal", seal)  # the moment, not the thing under test
    found = examine("odd://bucket/a.keras", Options(Verb.SEAL))
    assert (found.outcome, codes(found)) == (Outcome.FAILED, ["remote-changed"])
    assert odd.objects["bucket/a.keras"] == b"what somebody saved meanwhile"


def test_limits_hold_for_what_lies_beside_an_object(tmp_path: Path, odd: Any) -> None:
    odd.objects["bucket/a.keras"] = archive_bytes()
    size = LIMITS.envelope + LIMITS.padding + 1
    odd.streams["bucket/a.keras.seal"] = (size, lambda: b"x" * 1_000_000)
    found = examine("odd://bucket/a.keras", SCAN)
    assert (found.outcome, codes(found)) == (Outcome.REFUSED, ["limit-exceeded"])


@pytest.mark.parametrize("sealed", ["saved_model", "keras"])
def test_what_is_sealed_hides_no_second_model_in_its_directory(tmp_path: Path, sealed: str) -> None:
    files = {
        "saved_model": {"saved_model.pb": b"\x08\x01\x12\x00"},
        "keras": {"config.json": b"{}", "metadata.json": b"{}", "model.weights.h5": bytes(100)},
    }
    folder = tmp_path / "m"
    folder.mkdir()
    for kind in sorted(files, key=lambda kind: kind != sealed):
        for name, data in files[kind].items():
            (folder / name).write_bytes(data)
        if kind == sealed:
            api.seal(folder)
    finding = examine(str(folder), SCAN)
    assert (finding.state, finding.assurance, finding.root) == (State.UNSEALED, "none", "")
    assert api.verify(folder).assurance == "none"
