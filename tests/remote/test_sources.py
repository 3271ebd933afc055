# SPDX-License-Identifier: Apache-2.0
"""Files behind URLs: read once, whole, and spoken of without anything secret."""

from __future__ import annotations

import os
import sys
import traceback
from pathlib import Path

import pytest

from keras_integrity_hook.errors import (
    RemoteChangedError,
    RemoteError,
    RemoteUnavailableError,
    RemoteWriteError,
    UnknownSchemeError,
)
from keras_integrity_hook.files import local_copies
from keras_integrity_hook.limits import MIB
from keras_integrity_hook.remote import (
    failures,
    fsspec_store,
    peeking,
    sources,
    spool,
    upload,
    urls,
)
from tests.remote.conftest import Place
from tests.support.buckets import Bucket, Web

DATA = bytes(range(256)) * 40_000  # 10 MB


def test_file_is_read_in_ranges_and_as_a_stream(place: Place) -> None:
    place.write("m.keras", DATA)
    with sources.open_source(f"{place.url}/m.keras") as source:
        assert source.size == len(DATA)
        assert source.read(1000, 16) == DATA[1000:1016]
        assert source.read(len(DATA) - 3, 100) == DATA[-3:]
        assert source.read(len(DATA) + 5, 100) == b""
        assert b"".join(source.stream()) == DATA


def test_web_server_without_ranges_is_read_as_a_stream(web: Web) -> None:
    web.files["/m.keras"], web.knows_ranges = DATA, False
    with sources.open_source(f"{web.url}/m.keras") as source:
        assert b"".join(source.stream()) == DATA


def test_part_of_a_file_that_never_ends_is_read_no_further_than_asked_for(web: Web) -> None:
    web.files["/m.keras"], web.has_no_end = DATA, True
    with sources.open_source(f"{web.url}/m.keras") as source:
        assert source.read(1000, 16) == DATA[1000:1016]
    assert web.endless < 100 * MIB  # what fits into the buffers between the two


def test_other_part_than_was_asked_for_is_refused(web: Web) -> None:
    web.files["/m.keras"], web.knows_ranges = DATA, False
    with (
        sources.open_source(f"{web.url}/m.keras") as source,
        pytest.raises(RemoteUnavailableError, match="parts"),
    ):
        source.read(1000, 16)


def test_seal_that_cannot_be_read_in_parts_is_told_when_the_file_is_there(web: Web) -> None:
    web.files["/m.keras"], web.knows_ranges = b"PK\x03\x04" + DATA, False
    with (
        sources.open_source(f"{web.url}/m.keras") as source,
        peeking.model_without_content(source, "m.keras") as model,
    ):
        assert model is None


def test_download_may_take_longer_than_five_minutes(web: Web) -> None:
    web.files["/m.keras"] = DATA
    store = fsspec_store.store_of(f"{web.url}/m.keras", "http")
    assert store._files.client_kwargs["timeout"].total is None


def test_web_server_that_does_not_say_how_large_a_file_is_is_refused(web: Web) -> None:
    web.files["/m.keras"], web.tells_size = DATA, False
    with pytest.raises(RemoteUnavailableError, match="how large"):
        sources.open_source(f"{web.url}/m.keras")


def test_download_that_breaks_off_is_no_file(web: Web) -> None:
    web.files["/m.keras"], web.breaks_off_after = DATA, len(DATA) // 2
    with sources.open_source(f"{web.url}/m.keras") as source, pytest.raises(RemoteError):
        b"".join(source.stream())


def test_file_that_is_replaced_while_it_is_fetched_is_refused(bucket: Bucket) -> None:
    url = bucket.write("m.keras", DATA)
    with sources.open_source(url) as source:
        pieces = source.stream()
        next(pieces)
        bucket.write("m.keras", DATA[::-1])
        with pytest.raises(RemoteChangedError, match="replaced"):
            list(pieces)


def test_what_is_not_there_and_what_is_a_directory_are_told_apart(place: Place) -> None:
    place.write("d/m.keras" if place.url.startswith("s3") else "m.keras", DATA)
    with pytest.raises(FileNotFoundError):
        sources.open_source(f"{place.url}/none.keras")
    assert not sources.exists(f"{place.url}/none.keras")
    with pytest.raises(IsADirectoryError):
        sources.open_source(f"{place.url}/d" if place.url.startswith("s3") else place.url)


def test_every_file_below_a_directory_is_listed_once(bucket: Bucket) -> None:
    for name in ("a.keras", "d/b.keras", "d/e/c.keras", "d/e/"):
        bucket.write(name, b"x" * 10)
    found = {entry.url: entry.size for entry in sources.walk(bucket.url)}
    names = ("a.keras", "d/b.keras", "d/e/c.keras")
    assert found == {f"{bucket.url}/{name}": 10 for name in names}


def test_version_is_another_one_when_the_content_is(bucket: Bucket) -> None:
    url = bucket.write("m.keras", DATA)
    before = sources.open_source(url).version
    assert before
    assert sources.open_source(url).version == before
    bucket.write("m.keras", DATA[::-1])
    assert sources.open_source(url).version != before


def test_private_copy_is_called_by_its_url_and_is_gone_afterwards(place: Place) -> None:
    place.write("m.keras", DATA)
    url, seen = f"{place.url}/m.keras", bytearray()
    with sources.open_source(url) as source, spool.fetched(source, watch=seen.extend) as local:
        assert seen == DATA == Path(local).read_bytes()
        assert os.stat(os.path.dirname(local)).st_mode & 0o077 == 0
        assert (local_copies.name_of(local), local_copies.copy_of(url)) == (url, local)
        assert local_copies.name_of(f"{local}.seal") == f"{local}.seal"
    assert not os.path.exists(os.path.dirname(local))
    assert local_copies.name_of(local) == local


def test_file_that_is_put_there_replaces_the_old_one_and_nothing_else_stays(
    place: Place, tmp_path: Path
) -> None:
    place.write("other", b"1")
    for data in (DATA, b"short"):
        (tmp_path / "m").write_bytes(data)
        upload.put(str(tmp_path / "m"), f"{place.url}/m.keras")
        assert place.read("m.keras") == data
    assert place.names() == ["m.keras", "other"]


def test_web_address_is_not_written_to(web: Web, tmp_path: Path) -> None:
    (tmp_path / "m").write_bytes(DATA)
    with pytest.raises(RemoteError, match="read and not written"):
        upload.put(str(tmp_path / "m"), f"{web.url}/m.keras")


def test_store_that_does_not_take_it_is_an_error_of_ours(bucket: Bucket, tmp_path: Path) -> None:
    (tmp_path / "m").write_bytes(DATA)
    with pytest.raises(RemoteWriteError) as caught:
        upload.put(str(tmp_path / "m"), "s3://no-such-bucket-here/m.keras")
    assert caught.value.path == "s3://no-such-bucket-here/m.keras"


@pytest.mark.parametrize("lack", ["refuses", "is_broken", "is_off"])
def test_web_server_that_does_not_say_so_has_not_lost_a_file(web: Web, lack: str) -> None:
    web.files["/m.keras"] = DATA
    url = f"{web.url}/m.keras" if lack != "is_off" else "http://127.0.0.1:9/m.keras"
    setattr(web, lack, True)
    with pytest.raises(RemoteUnavailableError):
        sources.open_source(url)
    with pytest.raises(RemoteUnavailableError):
        sources.exists(url)


def test_scheme_in_capitals_is_the_same_store(bucket: Bucket) -> None:
    bucket.write("m.keras", DATA)
    with sources.open_source(f"S3://{bucket.name}/m.keras") as source:
        assert b"".join(source.stream()) == DATA


def test_store_that_lacks_something_on_this_machine_is_told_in_short(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from fsspec.implementations.memory import MemoryFileSystem

    def fails(self: object, *arguments: object, **options: object) -> None:
        raise OSError("no such library\n" * 1_000)

    monkeypatch.setattr(MemoryFileSystem, "__init__", fails)
    MemoryFileSystem.clear_instance_cache()
    with pytest.raises(RemoteUnavailableError, match="no such library") as caught:
        sources.open_source("memory://b/m.keras")
    assert len(str(caught.value)) < 1_000


@pytest.mark.parametrize(
    ("url", "package"), [("gcs://b/m.keras", "gcsfs"), ("abfs://c/m.keras", "adlfs")]
)
def test_missing_package_is_named(url: str, package: str) -> None:
    with pytest.raises(UnknownSchemeError) as caught:
        sources.open_source(url)
    assert package in caught.value.remedy()


@pytest.mark.parametrize(
    "url", ["local:///etc/passwd", "simplecache://s3/m", "zip://m.keras", "nosuch://m.keras"]
)
def test_scheme_that_leads_back_to_local_files_is_none(url: str) -> None:
    with pytest.raises(UnknownSchemeError):
        sources.open_source(url)


@pytest.mark.parametrize(
    "url",
    ["s3://models/../secret/m.keras", "memory://a/./m.keras", "https://h/a/%2e%2E/m.keras"],
)
def test_path_that_stores_understand_differently_is_refused(url: str) -> None:
    with pytest.raises(RemoteError, match=r"'\.\.'"):
        sources.open_source(url)


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("https://u:pw@h:8/a/m.keras", "https://h:8/a/m.keras"),
        ("https://h/m.keras?X-Amz-Signature=s&X-Amz-Date=d", "https://h/m.keras"),
        ("https://h/m.keras?id=5&sig=s#part", "https://h/m.keras?id=5"),
        ("S3://bucket/a?b.keras", "s3://bucket/a?b.keras"),
        ("sftp://u:pw@h/m.keras", "sftp://h/m.keras"),
        ("https://h/m.keras?%73ig=s&x=1;token=s&id=5", "https://h/m.keras?id=5"),
    ],
)
def test_nothing_secret_of_a_url_is_shown(url: str, shown: str) -> None:
    assert urls.shown(url) == shown
    assert urls.split(url).name.endswith(".keras")


@pytest.mark.parametrize("mark", ["?", "#"])
def test_host_that_is_told_is_the_one_that_is_asked(mark: str) -> None:
    url = f"https://evil{mark}@trusted/m.keras"
    assert urls.shown(url).startswith("https://evil")
    assert urls.split(url).place == "evil"


def test_containers_of_one_account_have_names_of_their_own() -> None:
    names = {urls.shown(f"abfs://{one}@a.example.net/m.keras") for one in ("prod", "dev")}
    assert names == {f"abfs://{one}@a.example.net/m.keras" for one in ("prod", "dev")}


def test_password_where_the_store_takes_none_is_refused_and_not_shown() -> None:
    url = "s3://name:topsecret@bucket/m.keras"
    with pytest.raises(RemoteError, match="no place for") as caught:
        sources.open_source(url)
    assert "topsecret" not in str(caught.value)


def test_secret_is_not_quoted_from_a_url_that_the_store_spells_anew(web: Web) -> None:
    web.files["/m.keras"] = DATA
    # What reads it writes "/" for the "%2F" before it asks, and tells the new text.
    url = f"{web.url}/m.keras?X-Amz-Credential=a%2Fb&X-Amz-Signature=topsecret"
    with sources.open_source(url) as source:
        web.refuses = True
        with pytest.raises(RemoteError) as caught:
            source.read(0, 10)
    assert "topsecret" not in str(caught.value)


def test_error_of_a_store_does_not_quote_a_secret(web: Web) -> None:
    url = f"{web.url}/m.keras?X-Amz-Signature=topsecret"
    with pytest.raises(FileNotFoundError) as caught:
        sources.open_source(url)
    assert "topsecret" not in str(caught.value)


@pytest.mark.parametrize("lack", ["nothing", "refuses", "is_broken", "breaks_off", "is_off"])
def test_no_traceback_of_a_web_server_shows_a_secret(web: Web, lack: str) -> None:
    top = web.url if lack != "is_off" else "http://127.0.0.1:9"
    url = f"{top.replace('//', '//user:topsecret@')}/m.keras?id=1&X-Amz-Signature=topsecret"
    if lack != "nothing":
        web.files["/m.keras"] = DATA
    if lack == "breaks_off":
        web.breaks_off_after = len(DATA) // 2
    elif lack != "nothing":
        setattr(web, lack, True)
    with pytest.raises((RemoteError, FileNotFoundError)) as caught:
        b"".join(sources.open_source(url).stream())
    told = "".join(traceback.format_exception(caught.value))
    assert "topsecret" not in told
    assert f"{top}/m.keras?id=1" in told
    assert caught.value.__cause__ is not None
    assert "topsecret" not in repr(caught.value.__cause__)


def test_cause_that_quotes_no_secret_is_the_store_s_own(web: Web) -> None:
    from aiohttp import ClientResponseError

    web.files["/m.keras"], web.is_broken = DATA, True
    with pytest.raises(RemoteUnavailableError) as caught:
        sources.open_source(f"{web.url}/m.keras?id=1")
    assert isinstance(caught.value.__cause__, ClientResponseError)


def test_cause_is_replaced_by_one_of_its_kind_wherever_the_secret_stands() -> None:
    url = "https://h/m?sig=topsecret"
    noted = OSError(13, "denied")
    noted.add_note(f"while {url} was read")
    outer = PermissionError("denied")
    outer.__cause__ = ValueError(url)
    named = FileNotFoundError(2, "none", url)
    odd = UnicodeDecodeError("ascii", b"x", 0, 1, url)
    for error in (noted, outer, named, odd):
        kind = UnicodeError if error is odd else type(error)
        assert type(failures.without_secrets(error)) is kind
        assert "topsecret" not in repr(failures.without_secrets(error))
        assert failures.without_secrets(error).__cause__ is None
    harmless = OSError("https://H:443/m?id=1")
    assert failures.without_secrets(harmless) is harmless


def test_nothing_of_this_is_imported_by_whoever_loads_local_files() -> None:
    import subprocess

    code = "import keras_integrity_hook.loading.pipeline, sys; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, text=True)
    loaded = set(done.stdout.split())
    assert not {name for name in loaded if name.startswith("keras_integrity_hook.remote.")}
    assert "fsspec" not in loaded


def test_directory_that_is_put_in_the_place_of_the_private_one_is_not_read(
    web: Web, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    web.files["/m.keras"] = DATA
    temporary = tmp_path / "shared"
    temporary.mkdir()
    temporary.chmod(0o777)  # whoever may write there may rename what is not theirs
    monkeypatch.setattr("tempfile.tempdir", str(temporary))
    with sources.open_source(f"{web.url}/m.keras") as source, spool.fetched(source) as local:
        (private,) = temporary.iterdir()
        private.rename(tmp_path / "stolen")
        for one in (tmp_path / "stolen").rglob("m.keras"):
            other = private / one.relative_to(tmp_path / "stolen")
            other.parent.mkdir(parents=True)
            other.write_bytes(b"another model")
        assert Path(local).read_bytes() == DATA


@pytest.mark.parametrize("end", ["", "#part", "?id=5", "?id=5#part"])
def test_what_lies_beside_a_web_address_has_neither_query_nor_fragment(end: str) -> None:
    assert urls.beside(f"https://h/a/m.keras{end}", "m.keras.seal") == "https://h/a/m.keras.seal"
