# SPDX-License-Identifier: Apache-2.0
"""Which ``get_file`` a download belongs to: in each host, late, nested, and in several threads."""

from __future__ import annotations

import hashlib
import importlib
import os
import subprocess
import sys
import textwrap
import threading
import urllib.request
import warnings
from pathlib import Path
from typing import Any

import pytest

import keras_integrity_hook as kih
from tests.support.downloads import GetFile, Site
from tests.support.models import archive_bytes

MODEL = archive_bytes()
MODEL_HASH = hashlib.sha256(MODEL).hexdigest()
HOSTS = {
    "keras": "keras.src.utils.file_utils",
    "tf_keras": "tf_keras.src.utils.data_utils",
    "tensorflow": "tensorflow.python.keras.utils.data_utils",
}


@pytest.fixture(params=HOSTS)
def host_get_file(request: pytest.FixtureRequest, keras: Any, tmp_path: Path) -> GetFile:
    """``get_file`` of each host."""
    pytest.importorskip(request.param)
    return getting(request.param, tmp_path)


@pytest.fixture
def get_file(keras: Any, tmp_path: Path) -> GetFile:
    """``get_file`` of Keras 3."""
    return getting("keras", tmp_path)


def getting(host: str, cache: Path) -> GetFile:
    module = importlib.import_module(HOSTS[host])

    def get(*args: Any, **kwargs: Any) -> Path:
        return Path(module.get_file(*args, cache_dir=str(cache), **kwargs))

    return get


def test_every_host_refuses_a_redirect_to_plain_http(
    host_get_file: GetFile, plain: Site, secure: Site
) -> None:
    secure.moved["/m.h5"] = plain.url("/m.h5")
    plain.pages["/m.h5"] = MODEL
    with pytest.raises(kih.InsecureDownloadError):
        host_get_file("m.h5", secure.url("/m.h5"), file_hash=MODEL_HASH)
    assert plain.connections == 0


def test_every_host_downloads_with_a_hash_and_reports_that_none_is_given(
    host_get_file: GetFile, secure: Site
) -> None:
    secure.pages.update({"/with.h5": MODEL, "/without.h5": MODEL})
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        with_hash = host_get_file("with.h5", secure.url("/with.h5"), file_hash=MODEL_HASH)
        host_get_file("without.h5", secure.url("/without.h5"))
    assert with_hash.read_bytes() == MODEL
    assert [one.category for one in caught] == [kih.UnverifiedDownloadWarning]
    assert caught[0].filename == __file__


def test_every_host_keeps_nothing_of_a_download_that_breaks_off(
    host_get_file: GetFile, secure: Site, tmp_path: Path
) -> None:
    class BreaksOff(bytes):
        def __len__(self) -> int:
            return super().__len__() + 100

    secure.pages["/m.h5"] = BreaksOff(MODEL)
    with pytest.raises(Exception, match=r"URL fetch failure on .* retrieval incomplete"):
        host_get_file("m.h5", secure.url("/m.h5"), file_hash=MODEL_HASH)
    assert not list(tmp_path.rglob("m.h5"))


@pytest.mark.parametrize(
    ("kind", "wrong"),
    [("file_hash", "0" * 64), ("md5_hash", "0" * 32), ("file_hash", "0" * 32)],
)
def test_every_host_refuses_a_download_with_another_hash(
    host_get_file: GetFile, secure: Site, kind: str, wrong: str
) -> None:
    """TensorFlow's own Keras compares a hash with a cached file only, not with what it fetched."""
    secure.pages["/m.h5"] = MODEL
    with pytest.raises(ValueError, match="Incomplete or corrupted"):
        host_get_file("m.h5", secure.url("/m.h5"), **{kind: wrong})


def test_mode_warn_reports_the_hash_that_tensorflow_does_not_compare(
    keras: Any, secure: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("tensorflow")
    monkeypatch.setenv("KERAS_INTEGRITY", "warn")
    secure.pages["/m.h5"] = MODEL
    with pytest.warns(kih.IntegrityWarning, match="Incomplete or corrupted"):
        path = getting("tensorflow", tmp_path)("m.h5", secure.url("/m.h5"), file_hash="0" * 64)
    assert path.read_bytes() == MODEL


def test_every_host_takes_an_md5_hash(host_get_file: GetFile, secure: Site) -> None:
    secure.pages["/m.h5"] = MODEL
    digest = hashlib.md5(MODEL, usedforsecurity=False).hexdigest()
    for kind in ("md5_hash", "file_hash"):
        path = host_get_file(f"{kind}.h5", secure.url("/m.h5"), **{kind: digest})
        assert path.read_bytes() == MODEL


def test_wrong_arguments_are_answered_in_the_words_of_the_host(host_get_file: GetFile) -> None:
    with pytest.raises(TypeError, match=r"get_file\(\) got an unexpected keyword argument 'hash'"):
        host_get_file("m.h5", "https://localhost:9/m.h5", hash=MODEL_HASH)


LATE = """
    import sys
    from {module} import get_file
    import keras_integrity_hook as kih

    class Program:
        get = staticmethod(get_file)

    def download(get, page, **kwargs):
        try:
            get(page, "{site}/" + page, cache_dir=sys.argv[1], **kwargs)
            print("downloaded")
        except kih.InsecureDownloadError:
            print("refused")

    kih.activate()
    assert kih.status().late
    download(get_file, "1.h5", file_hash="{hash}")
    download(get_file, "2.h5")
    # What a class keeps is beyond reach: the hash is not seen there, which errs on the safe side.
    download(Program.get, "3.h5", file_hash="{hash}")
    kih.deactivate()
    download(get_file, "4.h5")
    kih.activate()
    download(get_file, "5.h5", file_hash="{hash}")
    download(get_file, "6.h5")
"""


@pytest.mark.parametrize("host", HOSTS)
def test_copy_made_before_a_late_activation_tells_whether_a_hash_is_given(
    host: str, secure: Site, tmp_path: Path
) -> None:
    pytest.importorskip(host)
    secure.pages.update({f"/{number}.h5": MODEL for number in range(1, 7)})
    code = LATE.format(module=HOSTS[host], site=secure.url(""), hash=MODEL_HASH)
    # Not guarded before activate() is called: -S and a path of its own leave start-up files out.
    home = str(Path(kih.__file__).parent.parent)
    paths = [home, *(path for path in sys.path if path.endswith("site-packages"))]
    done = subprocess.run(
        [sys.executable, "-S", "-c", textwrap.dedent(code), str(tmp_path)],
        env={
            **os.environ,
            "PYTHONPATH": os.pathsep.join(paths),
            "KERAS_INTEGRITY_DOWNLOADS": "hashed",
        },
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    said = [line for line in done.stdout.split() if line in ("downloaded", "refused")]
    assert said == [
        *("downloaded", "refused", "refused"),
        "downloaded",
        *("downloaded", "refused"),
    ], done.stderr


def test_get_file_called_in_the_middle_of_another_counts_for_itself(
    get_file: GetFile, secure: Site
) -> None:
    """A handler of the user's fetches a key, say, before each request."""
    secure.pages.update({"/outer.h5": MODEL, "/inner.h5": MODEL, "/last.h5": MODEL})
    inner: list[Path] = []

    class Fetching(urllib.request.BaseHandler):
        def https_request(self, request: urllib.request.Request) -> urllib.request.Request:
            if request.full_url.endswith("/outer.h5"):
                inner.append(get_file(origin=secure.url("/inner.h5")))
            return request

    urllib.request.install_opener(urllib.request.build_opener(Fetching()))
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        get_file(origin=secure.url("/outer.h5"), file_hash=MODEL_HASH)
        get_file(origin=secure.url("/last.h5"), file_hash=MODEL_HASH)
    assert inner[0].read_bytes() == MODEL
    assert [str(one.message).partition(": ")[0] for one in caught] == [secure.url("/inner.h5")]


def test_downloads_of_several_threads_do_not_share_their_hashes(
    get_file: GetFile, secure: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All of them are in the middle of ``get_file`` when the first is answered."""
    monkeypatch.setenv("KERAS_INTEGRITY_DOWNLOADS", "hashed")
    hashes = {"/right.h5": MODEL_HASH, "/wrong.h5": "0" * 64, "/data.npz": None, "/none.h5": None}
    everybody = threading.Barrier(3)  # but for the one that is refused

    class Together(dict[str, bytes]):
        def get(self, *args: Any) -> Any:
            everybody.wait(100)
            return super().get(*args)

    secure.pages = Together(dict.fromkeys(hashes, MODEL))
    outcomes: dict[str, str] = {}

    def download(page: str) -> None:
        try:
            get_file(origin=secure.url(page), file_hash=hashes[page])
            outcomes[page] = "downloaded"
        except Exception as error:
            outcomes[page] = type(error).__name__

    threads = [threading.Thread(target=download, args=(page,)) for page in hashes]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(100)
    assert outcomes == {
        "/right.h5": "downloaded",
        "/wrong.h5": "ValueError",
        "/data.npz": "downloaded",
        "/none.h5": "InsecureDownloadError",
    }
