# SPDX-License-Identifier: Apache-2.0
"""What a server reads is what was checked, all of it, or what was there before."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from keras_integrity_hook import api
from keras_integrity_hook.containers import recognition
from keras_integrity_hook.errors import ConfigurationError, IntegrityError
from keras_integrity_hook.files import portable
from keras_integrity_hook.fleet.admitting import ADMITTED, Checked, admit
from keras_integrity_hook.fleet.examine import examine
from keras_integrity_hook.fleet.findings import State
from keras_integrity_hook.fleet.options import Options
from keras_integrity_hook.verification import pinning
from tests.support.models import SETS, SINGLE, write_model
from tests.support.processes import cli, document, environment


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """A repository: a sealed SavedModel as servers want it, and a sealed file of Keras."""
    top = tmp_path / "source"
    saved_model(top / "fraud" / "1")
    (top / "keras").mkdir()
    api.seal(write_model(top / "keras", "model.keras"))
    return top


def saved_model(folder: Path) -> Path:
    """A sealed SavedModel: to a seal it is files."""
    (folder / "variables").mkdir(parents=True)
    (folder / "saved_model.pb").write_bytes(b"\x08\x01\x12\x00")
    (folder / "variables" / "variables.index").write_bytes(b"an index")
    (folder / "variables" / "variables.data-00000-of-00001").write_bytes(bytes(1000))
    api.seal(folder)
    return folder


@pytest.fixture
def target(tmp_path: Path) -> Path:
    return tmp_path / "served"


def files(top: Path) -> dict[str, bytes]:
    return {str(one.relative_to(top)): one.read_bytes() for one in top.rglob("*") if one.is_file()}


def served(top: Path) -> dict[str, bytes]:
    """What a server finds; without our record."""
    return {name: data for name, data in files(top).items() if name != ADMITTED}


def refused(checked: list[Checked]) -> dict[str, str]:
    """Why what was refused was refused."""
    return {one.path: one.error.code for one in checked if one.error is not None}


def flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


class TestAdmitted:
    def test_what_is_whole_is_there_byte_for_byte(self, source: Path, target: Path) -> None:
        checked = admit(str(source), str(target))
        assert refused(checked) == {}
        assert len(checked) == 2
        assert served(target) == files(source)

    def test_one_file_goes_into_the_directory(self, source: Path, target: Path) -> None:
        admit(str(source / "keras" / "model.keras"), str(target))
        assert list(served(target)) == ["model.keras"]

    def test_a_seal_beside_the_model_comes_along(self, tmp_path: Path, target: Path) -> None:
        model = write_model(tmp_path, "model.weights.h5")
        folder = tmp_path / "one"
        folder.mkdir()
        shutil.move(model, folder)
        api.seal(folder / "model.weights.h5", store="sidecar")
        assert refused(admit(str(folder), str(target))) == {}
        assert set(served(target)) == {"model.weights.h5", "model.weights.h5.seal"}

    def test_a_single_file_brings_the_seal_beside_it(self, tmp_path: Path, target: Path) -> None:
        model = write_model(tmp_path, "model.weights.h5")
        api.seal(model, store="sidecar")
        assert refused(admit(str(model), str(target))) == {}
        assert set(served(target)) == {"model.weights.h5", "model.weights.h5.seal"}

    def test_rules_of_a_policy_go_by_the_source(
        self, source: Path, target: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        policy = tmp_path / "policy.toml"
        rule = '[[rules]]\npath = "{}"\nrequire = "signed"\n'
        monkeypatch.setenv("KERAS_INTEGRITY_POLICY", str(policy))
        policy.write_text(rule.format(f"{source}/keras/**"))
        assert refused(admit(str(source), str(target))) == {
            str(source / "keras" / "model.keras"): "not-signed"
        }
        policy.write_text(rule.format("/elsewhere/**"))
        assert refused(admit(str(source), str(target))) == {}

    def test_a_url_is_a_source_like_another(self, source: Path, target: Path) -> None:
        fsspec = pytest.importorskip("fsspec", reason="fsspec is not installed")
        memory = fsspec.filesystem("memory")
        memory.put(f"{source}/", "/admitted/", recursive=True)
        assert refused(admit("memory://admitted", str(target))) == {}
        assert served(target) == files(source)
        memory.pipe_file("/admitted/keras/model.keras", b"PK")
        (bad,) = [one for one in admit("memory://admitted", str(target)) if one.error]
        assert bad.path == "memory://admitted/keras/model.keras"

    def test_one_file_behind_a_url_is_a_source_too(self, tmp_path: Path, target: Path) -> None:
        fsspec = pytest.importorskip("fsspec", reason="fsspec is not installed")
        model = write_model(tmp_path, "model.weights.h5")
        api.seal(model, store="sidecar")
        for end in ("", ".seal"):
            fsspec.filesystem("memory").put(f"{model}{end}", f"/one/model.weights.h5{end}")
        assert refused(admit("memory://one/model.weights.h5", str(target))) == {}
        assert set(served(target)) == {"model.weights.h5", "model.weights.h5.seal"}

    def test_a_file_url_is_a_path(self, source: Path, target: Path) -> None:
        assert refused(admit(source.as_uri(), str(target))) == {}
        assert served(target) == files(source)

    def test_a_new_version_replaces_the_one_before(self, source: Path, target: Path) -> None:
        admit(str(source), str(target))
        shutil.rmtree(source / "fraud" / "1")
        saved_model(source / "fraud" / "2")
        shutil.rmtree(source / "keras")
        assert refused(admit(str(source), str(target))) == {}
        assert served(target) == files(source)

    def test_the_server_may_be_another_user(self, source: Path, target: Path) -> None:
        admit(str(source), str(target))
        modes = {path.stat().st_mode & 0o044 for path in target.rglob("*")}
        assert modes == {0o044}

    def test_what_is_allowed_by_name_needs_no_seal(self, source: Path, target: Path) -> None:
        (source / "fraud" / "config.pbtxt").write_text('platform: "tensorflow_savedmodel"')
        assert refused(admit(str(source), str(target), allowed=["*/config.pbtxt"])) == {}
        assert "fraud/config.pbtxt" in served(target)


class TestRefused:
    @pytest.mark.parametrize(
        "damaged",
        ["keras/model.keras", "fraud/1/saved_model.pb", "fraud/1/variables/variables.index"],
    )
    def test_one_damaged_model_keeps_everything_out(
        self, source: Path, target: Path, damaged: str
    ) -> None:
        flip(source / damaged)
        checked = admit(str(source), str(target))
        assert list(refused(checked).values()) == ["checksum-mismatch"]
        assert files(target) == {}

    def test_what_was_admitted_before_stays(self, source: Path, target: Path) -> None:
        admit(str(source), str(target))
        before = files(target)
        flip(source / "keras" / "model.keras")
        assert refused(admit(str(source), str(target)))
        assert files(target) == before

    def test_the_refusal_names_the_source_and_not_the_copy(
        self, source: Path, target: Path
    ) -> None:
        model = source / "keras" / "model.keras"
        flip(model)
        (bad,) = [one for one in admit(str(source), str(target)) if one.error is not None]
        assert bad.path == str(model)
        assert bad.error is not None
        assert ".keras-integrity-" not in str(bad.error)

    def test_a_model_without_a_seal_is_refused_whatever_the_settings_say(
        self, source: Path, target: Path
    ) -> None:
        api.unseal(source / "keras" / "model.keras")
        assert refused(admit(str(source), str(target))) == {
            str(source / "keras" / "model.keras"): "unsealed"
        }
        assert files(target) == {}

    def test_code_that_lies_beside_a_good_model_is_not_served(
        self, source: Path, target: Path
    ) -> None:
        """A Python backend of Triton, which the server would run."""
        backend = source / "fraud" / "1" / "model.py"
        backend.write_text("import os")
        assert refused(admit(str(source), str(target))) == {str(backend): "unsealed"}
        assert files(target) == {}

    def test_a_directory_without_a_model_is_no_success(self, tmp_path: Path, target: Path) -> None:
        (tmp_path / "empty").mkdir()
        (tmp_path / "empty" / "README").write_text("nothing")
        assert list(refused(admit(str(tmp_path / "empty"), str(target))).values()) == [
            "not-a-model"
        ]

    def test_a_link_in_the_source_leads_nowhere(self, source: Path, target: Path) -> None:
        secret = source.parent / "secret"
        secret.write_text("secret")
        (source / "fraud" / "link").symlink_to(secret)
        with pytest.raises(IntegrityError, match="symbolic link"):
            admit(str(source), str(target))
        assert files(target) == {}

    def test_a_fifo_in_the_source_keeps_nobody_waiting(self, source: Path, target: Path) -> None:
        os.mkfifo(source / "fraud" / "fifo")
        with pytest.raises(IntegrityError, match="FIFO"):
            admit(str(source), str(target))

    def test_what_somebody_else_put_into_the_target_is_not_served_unseen(
        self, source: Path, target: Path
    ) -> None:
        (target / "other").mkdir(parents=True)
        with pytest.raises(ConfigurationError, match="'other'"):
            admit(str(source), str(target))
        assert (target / "other").exists()

    @pytest.mark.parametrize("below", ["", "fraud", "served/here"])
    def test_nothing_is_copied_in_a_circle(self, source: Path, below: str) -> None:
        with pytest.raises(ConfigurationError, match="in the source"):
            admit(str(source), str(source / below))
        assert not (source / "served").exists()

    def test_a_source_that_is_not_there_is_one_error(self, tmp_path: Path, target: Path) -> None:
        with pytest.raises(IntegrityError, match="no such file"):
            admit(str(tmp_path / "nothing"), str(target))

    def test_a_name_in_a_store_does_not_lead_out_of_the_target(
        self, source: Path, target: Path
    ) -> None:
        fsspec = pytest.importorskip("fsspec", reason="fsspec is not installed")
        memory = fsspec.filesystem("memory")
        memory.store["/escape/../../outside.keras"] = memory.open("/escape/x", "wb")
        memory.pseudo_dirs += ["/escape", "/escape/..", "/escape/../.."]
        with pytest.raises(IntegrityError):
            admit("memory://escape", str(target))
        assert not (target.parent / "outside.keras").exists()
        memory.store.pop("/escape/../../outside.keras")

    def test_only_one_at_a_time_puts_models_into_a_target(self, source: Path, target: Path) -> None:
        target.mkdir()
        fd = os.open(target, os.O_RDONLY)
        portable.lock(fd)
        with pytest.raises(ConfigurationError, match="another"):
            admit(str(source), str(target))
        os.close(fd)
        assert refused(admit(str(source), str(target))) == {}

    def test_a_full_disk_is_one_error_and_leaves_nothing(self, source: Path, target: Path) -> None:
        code = """
import resource, sys
from keras_integrity_hook.fleet.admitting import admit
resource.setrlimit(resource.RLIMIT_FSIZE, (500, 500))
admit(*sys.argv[1:])
"""
        done = subprocess.run(
            [sys.executable, "-c", code, source, target],
            env=environment(),
            capture_output=True,
            text=True,
            check=False,
        )
        assert "SealWriteError" in done.stderr
        assert "File too large" in done.stderr
        assert files(target) == {}
        assert os.listdir(target) == []


class TestCommand:
    def test_refusals_are_told_and_the_status_is_1(self, source: Path, target: Path) -> None:
        flip(source / "keras" / "model.keras")
        done = cli("admit", source, target)
        assert done.returncode == 1
        assert "not admitted" in done.stdout
        assert "Traceback" not in done.stderr
        assert files(target) == {}

    def test_machines_get_a_document(self, source: Path, target: Path) -> None:
        told = document(cli("admit", source, target, "--json"))
        assert {one["state"] for one in told["results"]} == {"admitted"}

    def test_a_damaged_record_is_a_mistake_to_mend(self, source: Path, target: Path) -> None:
        target.mkdir()
        (target / ADMITTED).write_text("[")
        done = cli("admit", source, target)
        assert done.returncode == 2
        assert "Empty the directory" in done.stderr


def test_killed_half_way_it_leaves_nothing_that_is_served(source: Path, target: Path) -> None:
    """The next one clears away what was left."""
    stop = """
import os, signal, sys
from keras_integrity_hook.fleet import admitting
admitting._put_in_place = lambda *_: os.kill(os.getpid(), signal.SIGKILL)
admitting.admit(*sys.argv[1:])
"""
    done = subprocess.run(
        [sys.executable, "-c", stop, source, target], env=environment(), check=False
    )
    assert done.returncode == -signal.SIGKILL
    visible = [path for path in target.iterdir() if not path.name.startswith(".")]
    assert visible == []
    assert refused(admit(str(source), str(target))) == {}
    assert served(target) == files(source)


@pytest.mark.parametrize(
    "names",
    [
        ("_CHECKPOINT_METADATA", "_METADATA", "d/model.py"),
        ("config.json", "metadata.json", "model.weights.h5"),
    ],
    ids=["orbax", "keras"],
)
def test_second_model_in_a_sealed_directory_needs_a_seal_of_its_own(
    source: Path, target: Path, names: tuple[str, ...]
) -> None:
    sealed = source / "fraud" / "1"
    for name in names:  # what no seal covers, dressed up as the files of a model of another kind
        (sealed / name).parent.mkdir(exist_ok=True)
        (sealed / name).write_bytes(b"{}")
    checked = admit(str(source), str(target))
    assert refused(checked) == {str(sealed): "unsealed"}
    assert not served(target)


def test_who_may_read_a_model_and_not_list_its_bucket_admits_it(
    tmp_path: Path, target: Path, odd: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = write_model(tmp_path, "model.keras")
    api.seal(model)
    odd.objects["bucket/model.keras"] = model.read_bytes()
    look = odd.info

    def info(self: Any, path: str, **options: Any) -> Any:
        try:
            return look(self, path, **options)
        except FileNotFoundError:
            raise PermissionError("Forbidden") from None  # as S3 does

    monkeypatch.setattr(odd, "info", info)
    assert refused(admit("odd://bucket/model.keras", str(target))) == {}
    assert examine("odd://bucket/model.keras", Options(run="r")).state is State.SEALED


@pytest.mark.parametrize("container", [*SINGLE, *SETS])
def test_what_a_vetter_said_beside_a_model_comes_along_and_counts(
    container: str, tmp_path: Path, target: Path, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever the model is, and whether it is named itself or the directory that it lies in."""
    pytest.importorskip("cryptography")
    folder = tmp_path / "source"
    folder.mkdir()
    sample = (SINGLE | SETS)[container]
    model = sample.write(folder)
    api.seal(model)
    vet(model, tmp_path / "lab.key")
    monkeypatch.setenv("KERAS_INTEGRITY_REQUIRE", "vetted")
    assert refused(admit(str(folder), str(target))) == {}
    assert files(folder).keys() == served(target).keys()
    assert {one.error for one in admit(str(model), str(tmp_path / "again"))} == {None}
    assert served(tmp_path / "again") == files(sample.top(folder))


@pytest.mark.parametrize("container", [*SINGLE, *SETS])
def test_every_kind_of_model_is_admitted_from_a_url_by_its_name(
    container: str, tmp_path: Path, target: Path, odd: Any
) -> None:
    sample = (SINGLE | SETS)[container]
    api.seal(sample.write(tmp_path / "here"))
    for name, data in files(tmp_path / "here").items():
        odd.objects[f"bucket/{name}"] = data
    (one,) = admit(f"odd://bucket/{sample.name}", str(target))
    assert (one.path, one.error) == (f"odd://bucket/{sample.name}", None)
    assert served(target) == files(sample.top(tmp_path / "here"))


def vet(model: Path, key: Path) -> None:
    """Let a trusted vetter say that the content of ``model`` passed."""
    from keras_integrity_hook.detached import vetted, vsa
    from keras_integrity_hook.sealing.envelope import Envelope
    from keras_integrity_hook.signing import signers, trust_edit, trust_store
    from tests.support.signers import make_key, trusted

    entry = trusted("lab", make_key(key))
    trust_edit.add_key(trust_store.user_file(), entry, vetter=True)
    place = recognition.recognise(str(model))
    with pinning.open_as_it_is(str(model), place) as opened:
        digest = pinning.content_digest(opened.seal)
    said = vsa.encode(vsa.Summary(model.name, digest, passed=True, at="2026-01-02T03:04:05Z"))
    vetted.write(str(model), Envelope(said, (signers.sign(said, str(key)),)))
