# SPDX-License-Identifier: Apache-2.0
"""The pages of a registry in a real Chromium: light and dark, wide and narrow, by keyboard, and
for those who hear them. Pictures are kept where ``$SCREENSHOTS`` is a folder."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.support import browsers
from tests.support.registries import registration
from tests.support.registry_service import Running

pytest.importorskip("selenium", reason="Selenium is not installed")
pytest.importorskip("axe_selenium_python", reason="axe-core is not installed")
pytestmark = pytest.mark.skipif(not browsers.is_there(), reason="Chromium is not installed")

PAGES = {
    "models": "/",
    "nothing-found": "/?q=nobody",
    "model": "/model?name=churn",
    "version": "/version?model=churn&version=2.3",
    "recalled": "/version?model=churn&version=2.2",
    "content": f"/content?digest={registration('churn', '2.2').root}",
    "timeline": "/events",
    "event": "/events/0",
    "recalls": "/recalls",
    "roles": "/roles",
    "not-there": "/model?name=nobody",
}


@pytest.fixture(scope="session")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    with browsers.opened(tmp_path_factory.mktemp("profile")) as page:
        yield page


@pytest.fixture
def visit(browser: Any, served: Running) -> Any:
    """Goes to an address; the window is wide and light until it is told otherwise."""
    browsers.look(browser)

    def go(address: str) -> Any:
        browser.get(served.url + address)
        return browser

    return go


@pytest.mark.parametrize(("scheme", "width"), [("light", 1280), ("dark", 400)])
def test_every_page_fits_and_can_be_read(visit: Any, browser: Any, scheme: str, width: int) -> None:
    """axe-core finds nothing at all: contrast, names, landmarks and headings among it."""
    browsers.look(browser, width=width, is_dark=scheme == "dark")
    wrong: dict[str, list[str]] = {}
    for name, address in PAGES.items():
        page = visit(address)
        browsers.keep(page, f"{name}-{scheme}-{width}")
        wrong[name] = [*too_wide(page), *violations(page)]
    assert {name: found for name, found in wrong.items() if found} == {}


def too_wide(page: Any) -> list[str]:
    script = "return [document.documentElement.scrollWidth, innerWidth]"
    needs, has = page.execute_script(script)
    return [f"needs {needs} of {has} pixels"] if needs > has else []


def violations(page: Any) -> list[str]:
    """What axe-core has against a page."""
    from axe_selenium_python import Axe

    axe = Axe(page)
    axe.inject()
    found = axe.run()["violations"]
    return [f"{one['impact']}: {one['id']} {one['nodes'][0]['html']}" for one in found]


def test_dark_and_light_are_what_the_person_chose(visit: Any, browser: Any) -> None:
    colours = {}
    for is_dark in (False, True):
        page = visit("/")
        browsers.look(browser, is_dark=is_dark)
        colours[is_dark] = page.execute_script(
            "return getComputedStyle(document.body).backgroundColor"
        )
    assert colours == {False: "rgb(255, 255, 255)", True: "rgb(16, 19, 23)"}


def test_nothing_on_a_page_is_refused_or_missing(visit: Any, browser: Any) -> None:
    """What the content policy blocked, and what could not be loaded, is in the browser's log."""
    for address in PAGES.values():
        visit(address)
    messages = [entry["message"] for entry in browser.get_log("browser")]
    assert [text for text in messages if "status of 404" not in text] == []


def test_a_script_of_strangers_does_not_run(visit: Any) -> None:
    for address in ("/version?model=churn&version=2.2", "/events", "/events/16"):
        assert "taken" not in visit(address).title


def test_a_person_gets_everywhere_by_keyboard(visit: Any, browser: Any) -> None:
    """The first stop is the way past the navigation; each stop can be seen."""
    from selenium.webdriver.common.keys import Keys

    page = visit("/")
    first = pressed(page, Keys.TAB)
    assert first.text == "Skip to the content"
    assert first.location["x"] >= 0
    first.send_keys(Keys.ENTER)
    assert page.switch_to.active_element.get_attribute("id") == "content"
    assert pressed(page, Keys.TAB).get_attribute("id") == "q"
    field = page.switch_to.active_element
    followed(page, lambda: field.send_keys("fraud", Keys.ENTER))
    link = page.find_element("link text", "fraud detection, EU")
    for _ in range(20):
        if pressed(page, Keys.TAB) == link:
            break
    assert outline_of(page, link) != "none"
    followed(page, lambda: link.send_keys(Keys.ENTER))
    assert page.find_element("tag name", "h1").text == "fraud detection, EU"


def followed(page: Any, act: Callable[[], Any]) -> None:
    """Do what leads to another page, and wait for that."""
    from selenium.webdriver.support.expected_conditions import staleness_of
    from selenium.webdriver.support.ui import WebDriverWait

    before = page.find_element("tag name", "html")
    act()
    WebDriverWait(page, 60).until(staleness_of(before))


def pressed(page: Any, key: str) -> Any:
    """The element that has the focus once ``key`` is pressed."""
    from selenium.webdriver import ActionChains

    ActionChains(page).send_keys(key).perform()
    return page.switch_to.active_element


def outline_of(page: Any, element: Any) -> str:
    return str(page.execute_script("return getComputedStyle(arguments[0]).outlineStyle", element))


def test_the_pages_work_where_scripts_are_switched_off(visit: Any, browser: Any) -> None:
    browser.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": True})
    try:
        page = visit("/")
        page.find_element("name", "q").send_keys("churn")
        followed(page, page.find_element("css selector", ".search button").click)
        followed(page, page.find_element("link text", "churn").click)
        followed(page, page.find_element("link text", "2.2").click)
        assert "Trained on the wrong half" in page.find_element("tag name", "main").text
    finally:
        browser.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": False})


def test_a_command_is_copied_whole_and_in_one_line(visit: Any, browser: Any) -> None:
    """One click selects it, and nothing else; where it is broken over lines it stays one."""
    browsers.look(browser, width=400)
    page = visit("/version?model=churn&version=2.0")
    command = page.find_element("css selector", "pre.command")
    command.click()
    chosen = page.execute_script("return getSelection().toString()")
    assert chosen.splitlines() == [
        "keras-integrity registry promote churn 2.0 --stage production --exclusive --rollback "
        "--out event.json"
    ]
