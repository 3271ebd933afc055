# SPDX-License-Identifier: Apache-2.0
"""What MLflow's own page shows of a guarded registry, in a real browser."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import keras_integrity_hook as kih
from tests.support import browsers
from tests.support.mlflow_server import register, served
from tests.support.models import write_model
from tests.support.signers import let_trust, make_key

pytest.importorskip("mlflow", reason="MLflow is not installed")
pytest.importorskip("selenium", reason="Selenium is not installed")
pytestmark = pytest.mark.skipif(not browsers.is_there(), reason="Chromium is not installed")


@pytest.fixture
def browser(tmp_path: Path) -> Iterator[Any]:
    with browsers.opened(tmp_path / "profile") as page:
        yield page


def text_with(page: Any, *words: str) -> str:
    """What the page says, once it says all of ``words``."""
    from selenium.webdriver.common.by import By
    from selenium.webdriver.support.ui import WebDriverWait

    def body() -> str:
        return str(page.find_element(By.TAG_NAME, "body").text)

    def there(_: Any) -> bool:
        return all(word in body() for word in words)

    WebDriverWait(page, 90, ignored_exceptions=_stale()).until(there, message=body())
    browsers.keep(page)
    return body()


def _stale() -> list[type[Exception]]:
    from selenium.common.exceptions import StaleElementReferenceException

    return [StaleElementReferenceException]


@pytest.fixture
def versions(tmp_path: Path, home: Path) -> Callable[[Any], tuple[str, str]]:
    """Register one signed version and one damaged one."""
    let_trust("release", make_key(tmp_path / "release.pem"))
    (tmp_path / "made").mkdir()
    model = write_model(tmp_path / "made", "model.keras")
    kih.seal(model)
    kih.sign(model, key=str(tmp_path / "release.pem"))

    def registered(client: Any) -> tuple[str, str]:
        good = register(client, "churn", model)
        data = bytearray(model.read_bytes())
        data[len(data) // 2] ^= 1
        model.write_bytes(data)
        return good, register(client, "churn", model)

    return registered


def test_the_page_of_a_version_says_who_signed_it_and_why_one_is_refused(
    browser: Any, versions: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import mlflow

    monkeypatch.chdir(tmp_path)
    with served(tmp_path / "server", KERAS_INTEGRITY_REQUIRE="signed") as address:
        mlflow.set_tracking_uri(address)
        client = mlflow.MlflowClient(address, address)
        good, bad = versions(client)
        browser.get(f"{address}/#/models/churn/versions/{good}")
        shown = text_with(browser, "keras_integrity.root", "keras_integrity.signers")
        root = client.get_model_version("churn", good).tags["keras_integrity.root"]
        assert root[:24] in shown
        assert "release" in shown
        browser.get(f"{address}/#/models/churn/versions/{bad}")
        text_with(browser, "keras_integrity.refused", "refused")
        why = alias_in_the_page(browser, address, bad)
        assert "is not set" in why
        assert client.get_registered_model("churn").aliases == {}


def alias_in_the_page(page: Any, address: str, version: str) -> str:
    """Ask for an alias from within the page, as its dialogue does; what the server answers."""
    script = """
        const [address, version, done] = arguments;
        fetch(address + "/ajax-api/2.0/mlflow/registered-models/alias", {
            method: "POST", headers: {"Content-Type": "application/json"},
            body: JSON.stringify({name: "churn", alias: "production", version: version}),
        }).then(answer => answer.text()).then(done);
    """
    return str(page.execute_async_script(script, address, version))
