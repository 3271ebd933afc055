# SPDX-License-Identifier: Apache-2.0
"""Commands and functions that are given a URL do there what they do to a local file."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

import keras_integrity_hook as kih
from keras_integrity_hook.files.reading import open_regular
from tests.remote.conftest import Place
from tests.support.attacks import Publisher
from tests.support.buckets import Bucket, Web
from tests.support.processes import cli, document, environment


@pytest.fixture(scope="module")
def models(keras: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A sealed file and an exported directory."""
    folder = tmp_path_factory.mktemp("models")
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3)])
    model.save(folder / "m.keras")
    keras.saving.save_model(model, folder / "d", zipped=False)
    return folder


@pytest.fixture(autouse=True)
def somewhere_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")


def put(place: Place, models: Path) -> str:
    place.write("m.keras", (models / "m.keras").read_bytes())
    return f"{place.url}/m.keras"


def spoilt(data: bytes) -> bytes:
    return data[:300] + bytes([data[300] ^ 1]) + data[301:]


def test_model_at_a_url_is_verified_and_refused(place: Place, models: Path) -> None:
    url = put(place, models)
    report = kih.verify(url)
    assert (report.path, report.state, report.is_intact) == (url, "sealed", True)
    place.write("m.keras", spoilt(place.read("m.keras")))
    with pytest.raises(kih.IntegrityError) as caught:
        kih.verify(url)
    assert caught.value.path == url


def test_seal_is_taken_out_put_in_and_signed_where_the_model_lies(
    place: Place, models: Path, publisher: Publisher
) -> None:
    url, sealed = put(place, models), (models / "m.keras").read_bytes()
    assert kih.unseal(url).state == "unsealed"
    plain = place.read("m.keras")
    assert len(plain) < len(sealed)
    report = kih.seal(url)
    assert (report.path, report.state) == (url, "sealed")
    assert kih.sign(url, key=str(publisher.key)).path == url
    assert kih.verify(url).assurance == "signed"
    kih.unseal(url)
    assert place.read("m.keras") == plain
    assert place.names() == ["m.keras"]


def test_seal_beside_goes_to_the_store_and_away_again(place: Place, models: Path) -> None:
    url = put(place, models)
    kih.unseal(url)
    plain = place.read("m.keras")
    kih.seal(url, store="sidecar")
    assert place.names() == ["m.keras", "m.keras.seal"]
    assert place.read("m.keras") == plain
    assert kih.verify(url).state == "sealed"
    kih.unseal(url)
    assert place.names() == ["m.keras"]


def test_change_that_fails_leaves_the_model_as_it_was(place: Place, models: Path) -> None:
    url = put(place, models)
    before = place.read("m.keras")
    with pytest.raises(kih.AlreadySealedError) as caught:
        kih.seal(url)
    assert caught.value.path == url
    assert place.read("m.keras") == before


def test_model_that_somebody_changed_meanwhile_is_not_written_over(
    bucket: Bucket, models: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from keras_integrity_hook.saving import rewrite

    url = bucket.write("m.keras", (models / "m.keras").read_bytes())
    original = rewrite.take_out

    def meanwhile(model: Any) -> None:
        original(model)
        bucket.write("m.keras", b"another's")

    monkeypatch.setattr(rewrite, "take_out", meanwhile)
    with pytest.raises(kih.RemoteChangedError):
        kih.unseal(url)
    assert bucket.read("m.keras") == b"another's"


def test_directory_at_a_url_is_one_model(bucket: Bucket, models: Path) -> None:
    for path in (models / "d").rglob("*"):
        if path.is_file():
            bucket.write(f"d/{path.relative_to(models / 'd')}", path.read_bytes())
    url = f"{bucket.url}/d"
    assert kih.verify(url).container == "keras-directory"
    weights = "d/model.weights.h5"
    bucket.write(weights, spoilt(bucket.read(weights)))
    with pytest.raises(kih.IntegrityError) as caught:
        kih.verify(url)
    assert caught.value.path == url
    kih.unseal(url)
    kih.seal(url)
    assert kih.verify(url).state == "sealed"


def test_scan_inspect_and_diff_take_urls(place: Place, models: Path) -> None:
    url = put(place, models)
    scanned = kih.scan(url)
    assert scanned.inspection is not None
    assert str(scanned.inspection.verdict) == "fine"
    assert kih.inspect(url, digest=True).is_intact
    assert not kih.diff(url, models / "m.keras").differences
    place.write("m.keras", spoilt(place.read("m.keras")))
    assert kih.inspect(url, digest=True).is_intact is False
    assert kih.diff(models / "m.keras", url).differences


def test_file_url_is_the_path_in_it(models: Path, tmp_path: Path) -> None:
    shutil.copy(models / "m.keras", tmp_path)
    assert kih.verify(f"file://{tmp_path}/m.keras").path == f"{tmp_path}/m.keras"


def test_commands_name_the_url_and_nothing_private(bucket: Bucket, models: Path) -> None:
    url = bucket.write("m.keras", (models / "m.keras").read_bytes())
    bad = bucket.write("bad.keras", spoilt((models / "m.keras").read_bytes()))
    env = environment(**bucket.environment)
    done = cli("verify", "--json", url, bad, f"{bucket.url}/none.keras", bucket.url, env=env)
    results = {each["path"]: each for each in document(done)["results"]}
    assert results[url]["state"] == "sealed"
    codes = {path: each["error"]["code"] for path, each in results.items() if each["error"]}
    assert codes[bad] in ("damaged", "checksum-mismatch")
    assert codes[f"{bucket.url}/none.keras"] == codes[bucket.url] == "unreadable"
    assert "keras-integrity-" not in done.stdout
    shown = cli("inspect", "--digest", bad, env=env)
    assert bad in shown.stdout
    assert "Traceback" not in shown.stderr


def test_web_address_is_verified_and_cannot_be_sealed(web: Web, models: Path) -> None:
    web.files["/m.keras"] = (models / "m.keras").read_bytes()
    url = f"{web.url}/m.keras"
    assert kih.verify(url).state == "sealed"
    with pytest.raises(kih.RemoteError, match="read and not written"):
        kih.unseal(url)


def test_what_reads_local_files_alone_says_so() -> None:
    with pytest.raises(kih.UnreadableFileError, match="is a URL"):
        open_regular("s3://bucket/trust.toml")
