# SPDX-License-Identifier: Apache-2.0
"""Stores behind URLs, one of each kind."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.buckets import Bucket, Web, s3_server, web_server


@pytest.fixture(scope="session")
def _s3(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Path]]:
    for package in ("moto", "s3fs", "boto3"):
        pytest.importorskip(package)
    with s3_server(tmp_path_factory.mktemp("s3")) as server:
        yield server


@pytest.fixture
def bucket(_s3: tuple[str, Path], monkeypatch: pytest.MonkeyPatch) -> Bucket:
    """A fresh bucket, which every client in this process finds."""
    endpoint, log = _s3
    made = Bucket(endpoint, f"b-{secrets.token_hex(6)}", log)
    for name, value in made.environment.items():
        monkeypatch.setenv(name, value)
    made.requests()
    return made


@pytest.fixture
def web() -> Iterator[Web]:
    """A web server of the test's own."""
    pytest.importorskip("aiohttp")
    with web_server() as server:
        yield server


class Place:
    """A directory in a store, and the bytes there as somebody without the hook sees them."""

    def __init__(self, url: str) -> None:
        self.url = url

    def read(self, name: str) -> bytes:
        """The file ``name``."""
        raise NotImplementedError

    def write(self, name: str, data: bytes) -> None:
        """Put ``data`` in place of the file ``name``."""
        raise NotImplementedError

    def names(self) -> list[str]:
        """Of all files there."""
        raise NotImplementedError


class _InBucket(Place):
    def __init__(self, bucket: Bucket) -> None:
        super().__init__(bucket.url)
        self._bucket = bucket

    def read(self, name: str) -> bytes:
        return self._bucket.read(name)

    def write(self, name: str, data: bytes) -> None:
        self._bucket.write(name, data)

    def names(self) -> list[str]:
        return self._bucket.names()


class _InMemory(Place):
    def __init__(self, files: Any, name: str) -> None:
        super().__init__(f"memory://{name}")
        self._files, self._name = files, name

    def read(self, name: str) -> bytes:
        return bytes(self._files.cat(f"/{self._name}/{name}"))

    def write(self, name: str, data: bytes) -> None:
        self._files.pipe(f"/{self._name}/{name}", data)

    def names(self) -> list[str]:
        found = self._files.find(f"/{self._name}")
        return sorted(each.rpartition("/")[2] for each in found)


class _InRam(Place):
    def __init__(self, gfile: Any, name: str) -> None:
        super().__init__(f"ram://{name}")
        self._gfile = gfile

    def read(self, name: str) -> bytes:
        with self._gfile.GFile(f"{self.url}/{name}", "rb") as file:
            return bytes(file.read())

    def write(self, name: str, data: bytes) -> None:
        url = f"{self.url}/{name}"
        if self._gfile.exists(url):
            self._gfile.remove(url)  # it would be appended to
        with self._gfile.GFile(url, "wb") as file:
            file.write(data)

    def names(self) -> list[str]:
        return sorted(name.strip("/") for name in self._gfile.listdir(self.url))


@pytest.fixture(params=["s3", "memory", "ram"])
def place(request: pytest.FixtureRequest) -> Place:
    """An empty directory in each kind of store."""
    name = f"d{secrets.token_hex(6)}"
    if request.param == "s3":
        return _InBucket(request.getfixturevalue("bucket"))
    if request.param == "memory":
        return _InMemory(pytest.importorskip("fsspec").filesystem("memory"), name)
    tf = pytest.importorskip("tensorflow")
    tf.io.gfile.makedirs(f"ram://{name}")
    return _InRam(tf.io.gfile, name)
