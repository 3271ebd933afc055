# SPDX-License-Identifier: Apache-2.0
"""What a model may not become at its path without a word: stripped, somebody else's, older.

Each for every kind of model, saved and loaded by the real Keras; and what people do with models all
day, of which nothing is said.
"""

from __future__ import annotations

import os
import shutil
import time
import warnings
import zipfile
from pathlib import Path
from typing import Any

import pytest

import keras_integrity_hook as kih
from keras_integrity_hook.errors import HistoryWarning
from keras_integrity_hook.history import directories, store
from keras_integrity_hook.history.seen import Entry
from keras_integrity_hook.signing import trust_edit, trust_store
from tests.support import attacks
from tests.support.attacks import EVIL, GOOD, KINDS, Publisher, load, refused, value_of
from tests.support.signers import let_trust, make_key

ENFORCE = "KERAS_INTEGRITY_HISTORY"


def remembered() -> list[Entry]:
    return list(store.entries(directories.of_user()))


@pytest.fixture(params=KINDS)
def path(request: pytest.FixtureRequest, tmp_path: Path, keras: Any) -> Path:
    """Of a model of each kind, in a directory of its own."""
    return Path(tmp_path, "here", request.param)


@pytest.fixture
def elsewhere(path: Path, tmp_path: Path) -> Path:
    """Where an attacker makes a model of the same kind."""
    return Path(tmp_path, "elsewhere", path.name)


def put(source: Path, target: Path) -> None:
    """Put a copy of a model where another one is, with all of its files."""
    shutil.rmtree(target.parent, ignore_errors=True)
    shutil.copytree(source.parent, target.parent)


def is_said(path: Path, words: str) -> None:
    """A load warns, once, and so does the command; and is refused where the settings want that."""
    with pytest.warns(HistoryWarning, match=words) as found:
        load(path)
    assert len(found) == 1
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", kih.UnsealedModelWarning)
        load(path)  # once for each path and process
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", HistoryWarning)
        assert words in kih.verify(path).contradiction


class TestAttacks:
    def test_a_stripped_model_is_told(
        self,
        path: Path,
        elsewhere: Path,
        publisher: Publisher,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        publisher.save(path, GOOD)
        publisher.save(elsewhere, EVIL)
        kih.unseal(elsewhere)
        put(elsewhere, path)
        is_said(path, "it has no seal")
        monkeypatch.setenv(ENFORCE, "enforce")
        refused(kih.StrippedModelError, path, "history forget")

    def test_a_model_by_somebody_else_is_told(
        self,
        path: Path,
        elsewhere: Path,
        publisher: Publisher,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        publisher.publish(path)
        load(path)
        publisher.save(elsewhere, EVIL)
        put(elsewhere, path)
        is_said(path, "signed by 'release'")
        monkeypatch.setenv(ENFORCE, "enforce")
        error = refused(kih.SignerChangedError, path)
        assert error.evidence()["signers"] == [publisher.public.keyid]

    def test_a_signature_that_only_claims_to_be_the_same_is_told(
        self, path: Path, elsewhere: Path, publisher: Publisher, tmp_path: Path
    ) -> None:
        publisher.publish(path)
        load(path)
        publisher.save(elsewhere, EVIL)
        stranger = make_key(tmp_path / "stranger")
        kih.sign(elsewhere, key=str(tmp_path / "stranger"))
        seal = attacks.seal_of(elsewhere)
        forged = [
            one._replace(keyid=publisher.public.keyid)
            for one in seal.envelope.signatures
            if one.keyid == stranger.keyid
        ]
        attacks.put_seal(elsewhere, seal.envelope._replace(signatures=tuple(forged)), seal.table)
        put(elsewhere, path)
        is_said(path, "signed by none of those")

    def test_an_older_version_is_told(
        self,
        path: Path,
        elsewhere: Path,
        publisher: Publisher,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        publisher.publish(path, version="2.10")
        publisher.publish(elsewhere, EVIL, version="2.9")
        put(elsewhere, path)
        is_said(path, "version 2.9, and this machine saw version 2.10")
        monkeypatch.setenv(ENFORCE, "enforce")
        refused(kih.RollbackError, path, "history forget")


def test_a_model_of_another_kind_in_the_same_place_is_told(
    tmp_path: Path, keras: Any, publisher: Publisher, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file with a signed seal, then a directory with a seal that anybody could make."""
    path, good = tmp_path / "directory", tmp_path / "good.keras"
    publisher.save(good)
    good.rename(path)
    kih.sign(path, key=str(publisher.key))
    archive, unpacked = tmp_path / "evil.keras", tmp_path / "evil"
    publisher.save(archive, EVIL)
    with zipfile.ZipFile(archive) as members:
        members.extractall(unpacked)
    kih.seal(unpacked)
    path.unlink()
    unpacked.rename(path)
    monkeypatch.setenv(ENFORCE, "enforce")
    refused(kih.SignerChangedError, path)


def test_the_word_of_a_save_that_was_killed_ends(
    tmp_path: Path, keras: Any, publisher: Publisher, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It was killed before it could take its announcement back; then a newer version came."""
    path, old = tmp_path / "model.keras", tmp_path / "old.keras"
    with monkeypatch.context() as killed:
        killed.setattr(store, "take_back", lambda *_: None)
        publisher.publish(path, version="1.0")
    long_ago = time.time() - 7200
    for announcement in Path(directories.of_user()).rglob(".new-*"):
        os.utime(announcement, (long_ago, long_ago))
    shutil.copy(path, old)
    publisher.publish(path, version="2.0")
    old.replace(path)
    monkeypatch.setenv(ENFORCE, "enforce")
    refused(kih.RollbackError, path)


class TestHonestWork:
    """Any warning fails these tests."""

    def test_save_and_load_leave_one_entry(self, path: Path, publisher: Publisher) -> None:
        publisher.publish(path)
        (one,) = remembered()
        assert value_of(path) == GOOD
        assert remembered() == [one]
        publisher.save(path, EVIL)
        (other,) = remembered()
        assert other.path == one.path
        assert other.kinds.keys() == one.kinds.keys()

    def test_training_anew_without_the_key_or_with_a_lower_version(
        self, path: Path, publisher: Publisher
    ) -> None:
        publisher.publish(path, version="2.0")
        load(path)
        publisher.save(path, EVIL, version="1.0")
        assert value_of(path) == EVIL

    def test_a_new_release_is_copied_over(
        self, path: Path, elsewhere: Path, publisher: Publisher
    ) -> None:
        publisher.publish(path, version="2.0")
        load(path)
        publisher.publish(elsewhere, 3.0, version="2.1")
        put(elsewhere, path)
        assert value_of(path) == 3.0
        publisher.publish(elsewhere, 4.0, version="2.0.5")
        put(elsewhere, path)
        with pytest.warns(HistoryWarning, match=r"saw version 2\.1"):
            load(path)

    def test_a_key_is_replaced_under_its_name(
        self, path: Path, elsewhere: Path, publisher: Publisher, tmp_path: Path
    ) -> None:
        publisher.publish(path)
        load(path)
        trust_edit.remove(trust_store.user_file(), "release")
        let_trust("release", make_key(tmp_path / "next.key"))
        publisher.save(elsewhere, 3.0)
        kih.sign(elsewhere, key=str(tmp_path / "next.key"))
        put(elsewhere, path)
        assert value_of(path) == 3.0

    def test_commands_are_a_persons_word(self, path: Path, publisher: Publisher) -> None:
        publisher.publish(path)
        load(path)
        kih.unseal(path)
        assert remembered() == []
        with pytest.warns(kih.UnsealedModelWarning):
            load(path)
        kih.seal(path)
        load(path)
        assert kih.reseal(path, reason="a test").seal is not None
        load(path)

    def test_what_was_forgotten_is_a_beginning(
        self, path: Path, elsewhere: Path, publisher: Publisher
    ) -> None:
        publisher.publish(path)
        publisher.save(elsewhere, EVIL, version="1.0")
        put(elsewhere, path)
        (entry,) = [one for one in remembered() if one.path == str(path)]
        assert store.forget(directories.of_user(), entry.path)
        load(path)

    def test_the_good_model_put_back_says_nothing_any_more(
        self, path: Path, elsewhere: Path, publisher: Publisher, tmp_path: Path
    ) -> None:
        publisher.publish(path)
        kept = Path(tmp_path, "kept", path.name)
        put(path, kept)
        publisher.save(elsewhere, EVIL)
        put(elsewhere, path)
        with pytest.warns(HistoryWarning):
            load(path)
        put(kept, path)
        assert value_of(path) == GOOD


def test_a_backup_while_training_leaves_no_trace_of_where_it_was_written(
    tmp_path: Path, keras: Any
) -> None:
    """Each epoch's is written in a private directory, and moved: a path that never comes again."""
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    model.compile("sgd", "mse")
    backup = keras.callbacks.BackupAndRestore(str(tmp_path / "backup"), delete_checkpoint=False)
    ones = keras.ops.ones((2, 2))
    model.fit(ones, ones[:, :1], epochs=3, verbose=0, callbacks=[backup])
    assert remembered()
    assert [one.path for one in remembered() if ".keras-integrity-" in one.path] == []
