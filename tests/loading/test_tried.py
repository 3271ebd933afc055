# SPDX-License-Identifier: Apache-2.0
"""``sandbox = "always"``: nothing is loaded here that was not loaded in a sandbox before."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

import keras_integrity_hook as kih
from keras_integrity_hook import audit
from keras_integrity_hook.isolation import availability, trial
from keras_integrity_hook.loading import verdicts
from tests.support import attacks
from tests.support.attacks import GOOD, Publisher
from tests.support.sandboxes import needs_sandbox, with_code

FACTS: dict[str, Any] = {"content": "sha256:" + 64 * "a", "host": "keras"}


@pytest.fixture(autouse=True)
def kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where verdicts are kept; nobody else may change it, nor a directory on the way."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return Path(verdicts.directory())


@pytest.fixture
def trials(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The paths of models that were tried, as the audit log has them."""
    found: list[str] = []
    record = audit.record

    def noting(action: str, path: str | None, **facts: Any) -> None:
        if action == "trial":
            found.append(os.path.basename(str(path)))
        record(action, path, **facts)

    monkeypatch.setattr(audit, "record", noting)
    return found


@pytest.fixture
def always(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KERAS_INTEGRITY_SANDBOX", "always")


def saved(path: Path) -> Path:
    path.parent.mkdir(exist_ok=True)
    attacks.build(GOOD).save(path)
    return path


@needs_sandbox
def test_model_is_tried_once_whatever_seal_it_has(
    keras: Any, models: Path, trials: list[str], always: None
) -> None:
    path = saved(models / "model.keras")
    assert attacks.value_of(path) == GOOD
    assert attacks.value_of(path) == GOOD
    kih.unseal(path)
    with pytest.warns(kih.UnsealedModelWarning):
        assert attacks.value_of(path) == GOOD
    assert trials == ["model.keras"]


@needs_sandbox
def test_code_that_runs_only_when_the_model_is_called_is_found_before_it_runs_here(
    keras: Any, models: Path, trials: list[str], always: None, kept: Path
) -> None:
    marker = models / "marker"
    path = with_code(f"open({str(marker)!r}, 'w')", models / "evil.keras")
    marker.unlink(missing_ok=True)
    with pytest.raises(kih.SandboxViolationError) as caught:
        keras.models.load_model(path, safe_mode=False)
    assert any(str(marker) in str(one) for one in caught.value.evidence()["attempts"])
    assert not marker.exists()
    assert trials == []
    assert not kept.exists()


@needs_sandbox
def test_unsealed_model_that_changes_after_the_trial_is_refused(
    keras: Any, models: Path, always: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was tried has to be what is loaded (CWE-367)."""
    path = saved(models / "model.keras")
    kih.unseal(path)
    tried = trial.try_load

    def then_write(*arguments: Any, **options: Any) -> Any:
        found = tried(*arguments, **options)
        attacks.edit(path)
        return found

    monkeypatch.setattr(trial, "try_load", then_write)
    with pytest.warns(kih.UnsealedModelWarning):
        attacks.refused(kih.ChecksumMismatchError, path)


def test_nothing_is_loaded_where_no_process_can_be_confined(
    keras: Any, models: Path, always: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = saved(models / "model.keras")
    monkeypatch.setattr(availability, "reasons", lambda: ["this kernel has no Landlock"])
    attacks.refused(kih.SandboxUnavailableError, path, "no Landlock")


def test_what_a_trusted_signer_signed_need_not_be_tried(
    keras: Any, models: Path, publisher: Publisher, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KERAS_INTEGRITY_SANDBOX", "unsigned")
    monkeypatch.setattr(availability, "reasons", lambda: ["this kernel has no Landlock"])
    path = publisher.publish(models / "model.keras")
    assert attacks.value_of(path) == GOOD
    attacks.refused(kih.SandboxUnavailableError, publisher.save(models / "other.keras"))


@pytest.mark.parametrize("kind", ["model.weights.h5", "shards.weights.json"])
def test_weights_alone_are_not_tried(
    keras: Any, models: Path, publisher: Publisher, always: None, kind: str
) -> None:
    """The sandbox would be missed where there is none: see above."""
    path = publisher.save(models / kind)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(availability, "reasons", lambda: ["this kernel has no Landlock"])
        assert attacks.value_of(path) == GOOD


def test_preset_that_cannot_be_tried_is_not_loaded_as_if_it_had_been(keras: Any) -> None:
    from keras_integrity_hook.containers.kinds import KERAS_HUB_PRESET
    from keras_integrity_hook.loading import tried
    from keras_integrity_hook.loading.caller import Caller

    class Preset:
        path = "preset"
        container = KERAS_HUB_PRESET.container

    class Verified:
        model = Preset()

    with pytest.raises(kih.SandboxUnavailableError, match="preset"):
        tried._try(Verified(), Caller())  # type: ignore[arg-type]


def test_kept_verdict_counts_for_the_same_facts_alone() -> None:
    assert not verdicts.has_passed(FACTS)
    verdicts.keep(FACTS)
    assert verdicts.has_passed(FACTS)
    assert not verdicts.has_passed({**FACTS, "host": "tf_keras"})


@pytest.mark.parametrize("forged", ["file", "directory", "owner", "link", "content"])
def test_verdict_that_another_user_could_have_written_does_not_count(
    kept: Path, tmp_path: Path, forged: str
) -> None:
    verdicts.keep(FACTS)
    (path,) = kept.iterdir()
    if forged == "file":
        path.chmod(0o666)
    elif forged == "directory":
        kept.chmod(0o777)
    elif forged == "owner":
        if os.geteuid() != 0:
            pytest.skip("only root can give a file to another user")
        os.chown(path, 65534, 65534)
    elif forged == "link":
        elsewhere = tmp_path / "elsewhere"
        elsewhere.mkdir(mode=0o777)
        elsewhere.chmod(0o777)
        path.rename(elsewhere / path.name)
        path.symlink_to(elsewhere / path.name)
    else:  # the file of another verdict under this name
        path.write_bytes(path.read_bytes().replace(b"keras", b"other"))
    assert not verdicts.has_passed(FACTS)


def test_no_verdict_is_kept_where_others_may_write(kept: Path) -> None:
    kept.parent.mkdir(parents=True)
    kept.mkdir()
    kept.chmod(0o777)
    verdicts.keep(FACTS)
    assert list(kept.iterdir()) == []


def test_verdicts_do_not_grow_without_end(kept: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from keras_integrity_hook.limits import LIMITS

    monkeypatch.setattr(verdicts, "LIMITS", LIMITS._replace(verdicts=4))
    for number in range(9):
        verdicts.keep({**FACTS, "number": number})
    assert len(list(kept.iterdir())) <= 4
    assert verdicts.has_passed({**FACTS, "number": 8})
