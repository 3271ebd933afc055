# SPDX-License-Identifier: Apache-2.0
"""The watched ``urlretrieve`` does what ``urllib.request.urlretrieve`` does, from real servers."""

from __future__ import annotations

import os
import urllib.error
import urllib.request
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import keras_integrity_hook as kih
from keras_integrity_hook.downloads import urllib_watch
from keras_integrity_hook.downloads.rules import Download
from tests.support.downloads import Site

Retrieve = Callable[..., Any]

SIZES = (0, 1, 8191, 8192, 8193, 20_000)


@pytest.fixture(params=["urllib", "ours"])
def retrieve(request: pytest.FixtureRequest) -> Retrieve:
    """urllib's function, to know what is expected, and the watched one."""
    original = urllib.request.urlretrieve
    if request.param == "urllib":
        return original
    return urllib_watch.watched(original, Download("", has_hash=True))


@pytest.mark.parametrize("size", SIZES)
def test_file_headers_and_progress(
    retrieve: Retrieve, plain: Site, tmp_path: Path, size: int
) -> None:
    plain.pages["/data"] = os.urandom(size)
    reports: list[tuple[int, int, int]] = []
    target = tmp_path / "data"
    name, headers = retrieve(plain.url("/data"), target, lambda *report: reports.append(report))
    assert name == target
    assert headers["Content-Length"] == str(size)
    assert target.read_bytes() == plain.pages["/data"]
    assert reports == [(number, 8192, size) for number in range(-(-size // 8192) + 1)]


def test_temporary_file_without_a_name_goes_with_urlcleanup(
    retrieve: Retrieve, plain: Site
) -> None:
    plain.pages["/data"] = b"data"
    name, _ = retrieve(plain.url("/data"))
    assert Path(name).read_bytes() == b"data"
    urllib.request.urlcleanup()
    assert not Path(name).exists()


def test_file_url_without_a_name_is_the_file_itself(retrieve: Retrieve, tmp_path: Path) -> None:
    source = tmp_path / "data"
    source.write_bytes(b"data")
    assert retrieve(source.as_uri())[0] == str(source)
    copy = tmp_path / "copy"
    assert retrieve(f"URL:{source.as_uri()}", copy)[0] == copy
    assert copy.read_bytes() == b"data"


def test_data_url(retrieve: Retrieve, tmp_path: Path) -> None:
    name, headers = retrieve("data:text/plain,hello", tmp_path / "hello")
    assert name.read_bytes() == b"hello"
    assert headers.get_content_type() == "text/plain"


def test_download_that_breaks_off(retrieve: Retrieve, plain: Site, tmp_path: Path) -> None:
    class BreaksOff(bytes):
        def __len__(self) -> int:
            return 20_000

    plain.pages["/data"] = BreaksOff(b"x" * 9000)
    target = tmp_path / "data"
    with pytest.raises(urllib.error.ContentTooShortError, match="9000 out of 20000") as caught:
        retrieve(plain.url("/data"), str(target))
    assert caught.value.content[0] == str(target)
    assert target.read_bytes() == b"x" * 9000


@pytest.mark.parametrize("url", ["nonsense", "", "unknown://h/data"])
def test_url_that_is_none(retrieve: Retrieve, tmp_path: Path, url: str) -> None:
    with pytest.raises((ValueError, urllib.error.URLError), match="unknown url type"):
        retrieve(url, tmp_path / "data")
    assert not list(tmp_path.glob("data"))


def test_missing_page_leaves_no_file(retrieve: Retrieve, plain: Site, tmp_path: Path) -> None:
    with pytest.raises(urllib.error.HTTPError, match="404"):
        retrieve(plain.url("/data"), tmp_path / "data")
    assert not list(tmp_path.glob("data"))


def test_progress_that_raises_ends_the_download(
    retrieve: Retrieve, plain: Site, tmp_path: Path
) -> None:
    plain.pages["/data"] = b"data"

    def stop(*report: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        retrieve(plain.url("/data"), tmp_path / "data", reporthook=stop)


def test_directory_in_its_place_is_an_error_of_the_system(
    retrieve: Retrieve, plain: Site, tmp_path: Path
) -> None:
    plain.pages["/data"] = b"data"
    with pytest.raises(IsADirectoryError):
        retrieve(plain.url("/data"), tmp_path)


def test_urllib_itself_is_not_guarded(keras: Any, plain: Site, tmp_path: Path) -> None:
    """A program that calls urllib asks neither Keras nor us."""
    plain.pages["/m.keras"] = b"model"
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        urllib.request.urlretrieve(plain.url("/m.keras"), tmp_path / "m.keras")
    assert (tmp_path / "m.keras").read_bytes() == b"model"


def test_urlretrieve_of_keras_called_without_get_file_has_no_hash(
    keras: Any, plain: Site, secure: Site, tmp_path: Path
) -> None:
    from keras.src.utils import file_utils

    plain.pages["/m.keras"] = secure.pages["/m.keras"] = b"model"
    with pytest.raises(kih.InsecureDownloadError):
        file_utils.urlretrieve(plain.url("/m.keras"), tmp_path / "m.keras")
    with pytest.warns(kih.UnverifiedDownloadWarning):
        name, headers = file_utils.urlretrieve(secure.url("/m.keras"), tmp_path / "m.keras")
    assert (name, headers["Content-Length"]) == (tmp_path / "m.keras", "5")


def test_wrapper_of_another_library_around_urlretrieve_is_still_called(plain: Site) -> None:
    import wrapt

    calls: list[str] = []

    def trace(wrapped: Any, instance: Any, args: Any, kwargs: Any) -> Any:
        calls.append(args[0])
        return wrapped(*args, **kwargs)

    plain.pages["/data"] = b"data"
    traced = wrapt.FunctionWrapper(urllib.request.urlretrieve, trace)
    retrieve = urllib_watch.watched(traced, Download("", has_hash=True))
    retrieve(plain.url("/data"))
    urllib.request.urlcleanup()
    assert calls == [plain.url("/data")]
