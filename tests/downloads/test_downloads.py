# SPDX-License-Identifier: Apache-2.0
"""``keras.utils.get_file`` against real servers, one of them with a certificate of its own."""

from __future__ import annotations

import hashlib
import io
import logging
import os
import ssl
import subprocess
import sys
import tarfile
import threading
import urllib.request
import warnings
from pathlib import Path
from typing import Any

import pytest
import trustme

import keras_integrity_hook as kih
from keras_integrity_hook.downloads import rules
from tests.support.downloads import GetFile, Site
from tests.support.models import archive_bytes

MODELS = ("m.keras", "m.h5", "m.hdf5", "m.weights.h5", "m.weights.json", "M.KERAS", "m%2Eh5")
MODEL = archive_bytes()
MODEL_HASH = hashlib.sha256(MODEL).hexdigest()


@pytest.fixture
def get_file(keras: Any, tmp_path: Path) -> GetFile:
    """The public function, with a cache of the test's own."""

    def get(*args: Any, **kwargs: Any) -> Path:
        return Path(keras.utils.get_file(*args, cache_dir=str(tmp_path), **kwargs))

    return get


def tar_gz(name: str, content: bytes) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        member = tarfile.TarInfo(name)
        member.size = len(content)
        archive.addfile(member, io.BytesIO(content))
    return buffer.getvalue()


@pytest.mark.parametrize("name", MODELS)
def test_model_over_plain_http_is_refused_before_a_connection(
    get_file: GetFile, plain: Site, name: str
) -> None:
    plain.pages[f"/{name}"] = MODEL
    with pytest.raises(kih.InsecureDownloadError) as caught:
        get_file(origin=plain.url(f"/{name}"), file_hash=MODEL_HASH)
    assert plain.connections == 0
    assert caught.value.code == "insecure-download"
    assert caught.value.path == plain.url(f"/{name}")


@pytest.mark.parametrize("name", MODELS[:-1])
def test_model_named_only_by_fname_is_refused(get_file: GetFile, plain: Site, name: str) -> None:
    with pytest.raises(kih.InsecureDownloadError):
        get_file(name, plain.url("/download?id=7"))
    assert plain.connections == 0


@pytest.mark.parametrize("disguise", ["URL:{}", "<URL:{}>", "  {}", "<{}>"])
def test_scheme_in_a_disguise_that_urllib_strips_is_refused(
    get_file: GetFile, plain: Site, disguise: str
) -> None:
    with pytest.raises(kih.InsecureDownloadError):
        get_file("m.keras", disguise.format(plain.url("/m.keras").replace("http", "HTTP", 1)))
    assert plain.connections == 0


def test_plain_ftp_is_refused_like_plain_http(get_file: GetFile) -> None:
    with pytest.raises(kih.InsecureDownloadError):
        get_file(origin="ftp://localhost:9/m.keras")


@pytest.mark.parametrize("hops", [0, 1, 3])
def test_redirect_to_plain_http_is_refused_before_a_connection(
    get_file: GetFile, plain: Site, secure: Site, hops: int
) -> None:
    for hop in range(hops):
        secure.moved[f"/{hop}"] = secure.url(f"/{hop + 1}")
    secure.moved[f"/{hops}"] = plain.url("/elsewhere")
    plain.pages["/elsewhere"] = MODEL
    with pytest.raises(kih.InsecureDownloadError) as caught:
        get_file("m.keras", secure.url("/0"), file_hash=MODEL_HASH)
    assert len(secure.requests) == hops + 1
    assert plain.connections == 0
    assert caught.value.path == secure.url("/0")
    assert caught.value.evidence()["urls"][-1] == plain.url("/elsewhere")


def test_data_set_that_becomes_a_model_after_a_plain_hop_is_refused(
    get_file: GetFile, plain: Site, secure: Site
) -> None:
    plain.moved["/latest"] = secure.url("/m.keras")
    secure.pages["/m.keras"] = MODEL
    with pytest.raises(kih.InsecureDownloadError):
        get_file("latest", plain.url("/latest"))
    assert secure.connections == 0


def test_redirect_through_an_installed_opener_is_watched_too(
    get_file: GetFile,
    plain: Site,
    secure: Site,
    authority: trustme.CA,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The user's opener brings trust and credentials; its handlers must not lead around us."""
    monkeypatch.delenv("SSL_CERT_FILE")
    context = ssl.create_default_context()
    authority.configure_trust(context)
    opener: Any = urllib.request.build_opener(urllib.request.HTTPSHandler(context=context))
    opener.addheaders = [("Authorization", "Bearer token")]
    urllib.request.install_opener(opener)
    before = dict(opener.process_request), [handler.parent for handler in opener.handlers]

    secure.pages["/good.keras"] = MODEL
    assert get_file(origin=secure.url("/good.keras"), file_hash=MODEL_HASH).read_bytes() == MODEL
    assert secure.requests == [("/good.keras", "Bearer token")]

    secure.moved["/bad.keras"] = plain.url("/bad.keras")
    with pytest.raises(kih.InsecureDownloadError):
        get_file(origin=secure.url("/bad.keras"), file_hash=MODEL_HASH)
    assert plain.connections == 0
    assert before == (dict(opener.process_request), [one.parent for one in opener.handlers])


def test_redirect_within_https_is_followed(get_file: GetFile, secure: Site) -> None:
    secure.moved["/m.keras"] = secure.url("/mirror/m.keras")
    secure.pages["/mirror/m.keras"] = MODEL
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        path = get_file(origin=secure.url("/m.keras"), file_hash=MODEL_HASH)
    assert path.read_bytes() == MODEL


def test_certificate_nobody_vouches_for_is_still_refused(
    get_file: GetFile, secure: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("SSL_CERT_FILE")
    secure.pages["/m.keras"] = MODEL
    with pytest.raises(Exception, match="CERTIFICATE_VERIFY_FAILED"):
        get_file(origin=secure.url("/m.keras"), file_hash=MODEL_HASH)
    assert secure.requests == []


def test_wrong_hash_is_still_keras_own_error(get_file: GetFile, secure: Site) -> None:
    secure.pages["/m.keras"] = MODEL[:-1]
    with pytest.raises(ValueError, match="Incomplete or corrupted"):
        get_file(origin=secure.url("/m.keras"), file_hash=MODEL_HASH)


def test_missing_page_is_still_keras_own_error(get_file: GetFile, secure: Site) -> None:
    with pytest.raises(Exception, match=r"URL fetch failure on .* 404"):
        get_file(origin=secure.url("/m.keras"), file_hash=MODEL_HASH)


def test_downloaded_model_is_verified_when_loaded(
    keras: Any, get_file: GetFile, secure: Site, tmp_path: Path
) -> None:
    source = tmp_path / "source.keras"
    keras.Sequential([keras.layers.Input((4,)), keras.layers.Dense(2)]).save(source)
    secure.pages["/sealed.keras"] = source.read_bytes()
    with pytest.warns(kih.UnverifiedDownloadWarning):
        path = get_file(origin=secure.url("/sealed.keras"))
    assert keras.models.load_model(path).count_params() == 10

    data = bytearray(source.read_bytes())
    data[len(data) // 2] ^= 0x40
    secure.pages["/damaged.keras"] = bytes(data)
    with pytest.warns(kih.UnverifiedDownloadWarning):
        path = get_file(origin=secure.url("/damaged.keras"))
    with pytest.raises(kih.IntegrityError):
        keras.models.load_model(path)


def test_data_sets_and_archives_over_plain_http_are_not_affected(
    get_file: GetFile, plain: Site, secure: Site, tmp_path: Path
) -> None:
    plain.pages["/mnist.npz"] = b"numbers"
    plain.pages["/flowers.tar.gz"] = tar_gz("flowers/rose.txt", b"red")
    secure.moved["/flowers.tar.gz"] = plain.url("/flowers.tar.gz")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert get_file(origin=plain.url("/mnist.npz")).read_bytes() == b"numbers"
        for site, folder in ((plain, "direct"), (secure, "redirected")):
            origin = site.url("/flowers.tar.gz")
            get_file("flowers.tar.gz", origin, extract=True, cache_subdir=folder)
            # Where exactly it is extracted to differs between versions of Keras.
            (extracted,) = (tmp_path / folder).rglob("rose.txt")
            assert extracted.read_bytes() == b"red"


def test_cached_model_needs_no_download_and_is_not_refused(
    get_file: GetFile, plain: Site, tmp_path: Path
) -> None:
    cached = tmp_path / "datasets" / "m.keras"
    cached.parent.mkdir()
    cached.write_bytes(MODEL)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert get_file(origin=plain.url("/m.keras")) == cached
        assert get_file(origin=plain.url("/m.keras"), file_hash=MODEL_HASH) == cached


def test_file_url_is_local_and_neither_refused_nor_reported(
    get_file: GetFile, tmp_path: Path
) -> None:
    source = tmp_path / "source.keras"
    source.write_bytes(MODEL)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert get_file("m.keras", source.as_uri()).read_bytes() == MODEL


def test_missing_hash_is_reported_once_per_url(get_file: GetFile, secure: Site) -> None:
    secure.pages.update({"/a.keras": MODEL, "/b.h5": MODEL, "/c.npz": MODEL})
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        for name in ("a.keras", "a.keras", "b.h5", "c.npz"):
            get_file(origin=secure.url(f"/{name}"), force_download=True)
    assert [one.category for one in caught] == [kih.UnverifiedDownloadWarning] * 2
    assert "file_hash" in str(caught[0].message)
    assert secure.url("/a.keras") in str(caught[0].message)
    assert secure.url("/b.h5") in str(caught[1].message)
    assert caught[0].filename == __file__


def test_md5_hash_counts_as_a_hash(get_file: GetFile, secure: Site) -> None:
    secure.pages["/m.keras"] = MODEL
    digest = hashlib.md5(MODEL, usedforsecurity=False).hexdigest()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        get_file(origin=secure.url("/m.keras"), md5_hash=digest)


def test_hash_that_keras_applications_lack_is_logged_and_not_warned_about(
    keras: Any,
    secure: Site,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """``MobileNet(weights="imagenet")`` gives none, and its user cannot."""
    from keras.src.applications import mobilenet

    monkeypatch.setattr(mobilenet, "BASE_WEIGHT_PATH", secure.url("/"))
    monkeypatch.setattr(keras.src.backend.config, "_KERAS_DIR", str(tmp_path))
    name = "mobilenet_2_5_128_tf_no_top.h5"
    source = tmp_path / "source.h5"
    keras.applications.MobileNet((128, 128, 3), 0.25, include_top=False, weights=None).save(source)
    secure.pages[f"/{name}"] = source.read_bytes()
    caplog.set_level(logging.INFO, "keras_integrity_hook")
    with warnings.catch_warnings():
        warnings.simplefilter("error", kih.UnverifiedDownloadWarning)
        keras.applications.MobileNet((128, 128, 3), 0.25, include_top=False, weights="imagenet")
    assert [path for path, _ in secure.requests] == [f"/{name}"]
    assert "without a hash" in caplog.text


def test_damaged_local_weights_of_keras_applications_are_refused(
    keras: Any, tmp_path: Path
) -> None:
    def build(weights: Any) -> Any:
        return keras.applications.MobileNet(
            (32, 32, 3), alpha=0.25, include_top=True, weights=weights, classes=2
        )

    path = tmp_path / "mobilenet.weights.h5"
    original = build(None)
    original.save_weights(path)
    restored = build(str(path))
    assert (restored.get_weights()[0] == original.get_weights()[0]).all()

    data = bytearray(path.read_bytes())
    at = data.index(original.get_weights()[0].tobytes())
    data[at] ^= 0x40
    path.write_bytes(data)
    with pytest.raises(kih.ChecksumMismatchError):
        build(str(path))


def test_credentials_and_query_secrets_are_in_no_message(
    get_file: GetFile, plain: Site, secure: Site, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "keras_integrity_hook")
    secure.moved["/m.keras"] = plain.url("/m.keras?signature=hunter2#hunter2")
    direct = plain.url("/m.keras?token=hunter2").replace("//", "//user:hunter2@")
    told = []
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        for origin in (direct, secure.url("/m.keras?token=hunter2")):
            with pytest.raises(kih.InsecureDownloadError) as refused:
                get_file("m.keras", origin)
            told += [str(refused.value), repr(refused.value.to_dict())]
    assert all(plain.url("/m.keras") in one for one in told)
    assert [one.category for one in caught] == [kih.UnverifiedDownloadWarning]
    assert "hunter2" not in "".join([*told, str(caught[0].message), caplog.text])


def test_control_characters_of_a_url_forge_no_log_line() -> None:
    assert rules.shown("https://h/a\x1b[2Kb.h5") == "https://h/a\\x1b[2Kb.h5"


def test_mode_warn_reports_and_downloads(
    get_file: GetFile, plain: Site, secure: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KERAS_INTEGRITY", "warn")
    secure.moved["/m.keras"] = plain.url("/1.keras")
    plain.moved["/1.keras"] = plain.url("/2.keras")
    plain.pages["/2.keras"] = MODEL
    with pytest.warns(kih.IntegrityWarning, match="not encrypted") as caught:
        path = get_file(origin=secure.url("/m.keras"), file_hash=MODEL_HASH)
    assert path.read_bytes() == MODEL
    assert [one.filename for one in caught] == [__file__]


def test_mode_off_does_nothing(
    get_file: GetFile, plain: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KERAS_INTEGRITY", "off")
    plain.pages["/m.keras"] = MODEL
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert get_file(origin=plain.url("/m.keras")).read_bytes() == MODEL


def test_misspelt_mode_downloads_nothing(
    get_file: GetFile, secure: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KERAS_INTEGRITY", "of")
    with pytest.raises(kih.ConfigurationError):
        get_file(origin=secure.url("/m.keras"))
    assert secure.connections == 0


def test_other_users_of_urllib_notice_nothing(
    get_file: GetFile, plain: Site, secure: Site, tmp_path: Path
) -> None:
    """While a download of ours hangs in the middle, others fetch a model over plain http."""
    plain.pages["/m.keras"] = MODEL
    secure.pages["/m.keras"] = MODEL
    original = urllib.request.urlretrieve
    reached, go_on = threading.Event(), threading.Event()

    class Slow(dict[str, bytes]):
        def get(self, *args: Any) -> Any:
            reached.set()
            assert go_on.wait(100)
            return super().get(*args)

    secure.pages = Slow(secure.pages)
    ours = threading.Thread(
        target=get_file, kwargs={"origin": secure.url("/m.keras"), "file_hash": MODEL_HASH}
    )
    ours.start()
    try:
        assert reached.wait(100)
        assert urllib.request._opener is None  # type: ignore[attr-defined]
        assert urllib.request.urlretrieve is original
        original(plain.url("/m.keras"), tmp_path / "theirs.keras")
    finally:
        go_on.set()
        ours.join()
    assert (tmp_path / "theirs.keras").read_bytes() == MODEL
    assert (tmp_path / "datasets" / "m.keras").read_bytes() == MODEL


def test_copies_of_get_file_made_before_a_late_activation_are_guarded(tmp_path: Path) -> None:
    script = """
import os, sys
from keras.utils import get_file
import keras_integrity_hook as kih
assert not kih.status().active
del os.environ["KERAS_INTEGRITY"]
kih.activate()
kih.assert_active()
try:
    get_file(origin="http://localhost:9/m.keras", cache_dir=sys.argv[1])
except kih.InsecureDownloadError:
    print("refused")
"""
    done = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path)],
        env={**os.environ, "KERAS_INTEGRITY": "off"},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.stdout.endswith("refused\n"), done.stderr


def test_stand_in_for_urlretrieve_has_its_first_url_checked() -> None:
    from keras_integrity_hook.downloads import urllib_watch

    asked: list[str] = []
    for url in ("http://h/m.keras", "https://h/m.keras", "file:///m.keras"):
        one = rules.Download("m.keras", has_hash=True)
        retrieve = urllib_watch.watched(asked.append, one)
        if url.startswith("http:"):
            with pytest.raises(kih.InsecureDownloadError):
                retrieve(url)
        else:
            retrieve(url)
    assert asked == ["https://h/m.keras", "file:///m.keras"]


def test_policy_that_asks_for_hashes_refuses_a_download_without_one(
    get_file: GetFile, secure: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KERAS_INTEGRITY_DOWNLOADS", "hashed")
    secure.pages["/m.keras"] = b"model"
    with pytest.raises(kih.InsecureDownloadError, match="a hash"):
        get_file(origin=secure.url("/m.keras"))
    assert not secure.requests
    digest = hashlib.sha256(b"model").hexdigest()
    assert Path(get_file(origin=secure.url("/m.keras"), file_hash=digest)).read_bytes() == b"model"
