# SPDX-License-Identifier: Apache-2.0
"""One place behind a URL has one name, and its rules hold however it is spelt."""

from __future__ import annotations

import pytest

from keras_integrity_hook.errors import RemoteError
from keras_integrity_hook.files import url_names
from keras_integrity_hook.remote import urls
from keras_integrity_hook.settings import patterns

WEB = "https://models.example.com/prod/fraud.keras"


@pytest.mark.parametrize(
    "spelling",
    [
        "HTTPS://models.example.com/prod/fraud.keras",
        "https://MODELS.Example.com/prod/fraud.keras",
        "https://models.example.com./prod/fraud.keras",
        "https://models.example.com:443/prod/fraud.keras",
        "https://models.example.com.:0443/prod/fraud.keras",
        "https://models.example.com:/prod/fraud.keras",
        "https://user@models.example.com/prod/fraud.keras",
        "https://user:pw@models.example.com/prod/fraud.keras",
        "https://models.example.com/%70rod/fraud%2ekeras",
        "https://models.example.com/prod%2Ffraud.keras",
        "https://models.example.com/prod%2ffraud.keras",
        "https://models.example.com//prod///fraud.keras",
        "https://models.example.com/prod/fraud.keras/",
        "https://models.example.com/prod/fraud.keras#part",
        "https://models.example.com/prod/fraud.keras?sig=topsecret",
        "https://models.example.com/pr\tod/fraud.keras",
    ],
)
def test_spellings_of_one_web_address_have_one_name(spelling: str) -> None:
    assert urls.shown(spelling) == WEB
    assert WEB in patterns.names(spelling)


@pytest.mark.parametrize(
    ("spelling", "name"),
    [
        ("s3a://models/a.keras", "s3://models/a.keras"),
        ("s3:///models/a.keras", "s3://models/a.keras"),
        ("S3N://models/a.keras", "s3://models/a.keras"),
        ("gcs://models/a.keras", "gs://models/a.keras"),
        ("abfss://c@A.DFS.core.windows.net/a.keras", "abfs://c@a.dfs.core.windows.net/a.keras"),
        ("memory:///d/a.keras", "memory://d/a.keras"),
        ("ssh://u:pw@Host:22//srv//a.keras", "sftp://host/srv/a.keras"),
        ("hdfs://NameNode:8020/a.keras", "hdfs://namenode:8020/a.keras"),
        ("http://127.1:80/a.keras", "http://127.0.0.1/a.keras"),
        ("http://0x7f000001/a.keras", "http://127.0.0.1/a.keras"),
        ("http://[0:0::1]:8080/a.keras", "http://[::1]:8080/a.keras"),
        ("http://[::ffff:127.0.0.1]/a.keras", "http://127.0.0.1/a.keras"),
        ("https://h/a b.keras", "https://h/a%20b.keras"),
        ("https://h/caf%c3%a9.keras", "https://h/café.keras"),
        ("https://h/%ff%2a.keras", "https://h/%FF%2A.keras"),
        ("s3://models/100%25//a.keras", "s3://models/100%25//a.keras"),
        ("ram://d/served/", "ram://d/served"),
        ("ram://", "ram://"),
    ],
)
def test_name_of_a_place(spelling: str, name: str) -> None:
    assert url_names.shown(spelling) == name
    assert url_names.shown(name) == name


def test_what_may_be_another_place_has_another_name() -> None:
    different = [
        *("https://h/a.keras", "http://h/a.keras", "https://h:8443/a.keras", "https://h/A.keras"),
        *("https://h/a%3Fb.keras", "https://h/a%25%33Fb.keras", "https://h/b.keras?id=1"),
        *("s3://b/a//c.keras", "s3://b/a/c.keras", "s3://B/a/c.keras", "s3://b/%61/c.keras"),
    ]
    assert len({url_names.shown(url) for url in different}) == len(different)


@pytest.mark.parametrize(
    "pattern",
    [
        "https://models.example.com/prod/**",
        "HTTPS://Models.Example.com:443/prod/*.keras",
        "https://*.example.com/**/fraud.keras",
        "https://models.example.com/%70rod/fraud.keras",
        "fraud.keras",
    ],
)
@pytest.mark.parametrize(
    "url",
    [
        WEB,
        "https://u:pw@MODELS.example.com.:443//prod/%66raud.keras",
        f"{WEB}?download=1",
        f"{WEB}?X-Amz-Signature=s&versionId=2",
    ],
)
def test_rule_holds_however_the_url_is_spelt(pattern: str, url: str) -> None:
    assert any(patterns.matches(pattern, name) for name in patterns.names(url))


@pytest.mark.parametrize(
    ("pattern", "url", "expected"),
    [
        ("s3a://models/**", "s3://models/a.keras", True),
        ("s3://models/**", "s3a://models/a.keras", True),
        ("s3://models/**", "s3:///models/a.keras", True),
        ("hf://user/repository/**", "hf://user/repository@main/m.keras", True),
        ("hf://user/repository@v1/**", "hf://user/repository@main/m.keras", False),
        ("http://[::1]:8080/**", "http://[0::1]:8080/a.keras", True),
        ("http://127.0.0.1/**", "http://2130706433/a.keras", True),
        ("https://h/a%2A.keras", "https://h/a*.keras", True),
        ("https://h/a%2A.keras", "https://h/ab.keras", False),
        ("https://h/a%3Fb.keras", "https://h/a%3fb.keras", True),
        ("https://h/my models/*", "https://h/my%20models/a.keras", True),
        ("https://h/a.keras", "https://h/a.keras?id=1", True),
        ("https://h/a.keras?id=2", "https://h/a.keras?id=1", False),
        ("https://h/prod/**", "https://h:8443/prod/a.keras", False),
    ],
)
def test_rule_and_url(pattern: str, url: str, expected: bool) -> None:
    assert any(patterns.matches(pattern, name) for name in patterns.names(url)) is expected


@pytest.mark.parametrize("scheme", ["ssh", "sftp", "arrow_hdfs", "https"])
def test_user_may_stand_before_a_host(scheme: str) -> None:
    assert urls.split(f"{scheme}://u:pw@h/m.keras").place == "u:pw@h"


@pytest.mark.parametrize(
    "url",
    [
        "https:///m.keras",
        "https://möbel.example/m.keras",
        "https://mod%65ls.example.com/m.keras",
        "https://evil.example\\@models.example.com/m.keras",
        "https://models.example.com:80a/m.keras",
        "https://models.exam\tple.com/m.keras",
        "https://h/a/%2e%2e%2fm.keras",
        "https://h/a/..%5Cm.keras",
    ],
)
def test_web_address_that_may_be_read_as_another_is_refused(url: str) -> None:
    with pytest.raises(RemoteError, match=r"host|'\.\.'"):
        urls.split(url)
