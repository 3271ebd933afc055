# SPDX-License-Identifier: Apache-2.0
"""Two servers to download from, one of them with a certificate of the test's own authority."""

from __future__ import annotations

import ssl
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
import trustme

from keras_integrity_hook import notices
from tests.support.downloads import Site, serving


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture(autouse=True)
def surroundings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, authority: trustme.CA) -> None:
    """No settings, no proxy, nothing reported yet; this process trusts the test's authority."""
    for name in ("KERAS_INTEGRITY", "KERAS_INTEGRITY_UNSEALED", "http_proxy", "https_proxy"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("no_proxy", "localhost")
    certificate = tmp_path / "authority.pem"
    authority.cert_pem.write_to_path(str(certificate))
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    monkeypatch.setattr(urllib.request, "_opener", None)
    monkeypatch.setattr(notices, "_seen", {})


@pytest.fixture
def plain() -> Iterator[Site]:
    with serving(Site()) as site:
        yield site


@pytest.fixture
def secure(authority: trustme.CA) -> Iterator[Site]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost").configure_cert(context)
    with serving(Site(context)) as site:
        yield site
