# SPDX-License-Identifier: Apache-2.0
"""The page about an audit in a real Chromium: light and dark, wide and narrow, on paper, and for
those who hear it. Pictures are kept where ``$SCREENSHOTS`` is a folder."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.support import browsers

pytest.importorskip("selenium", reason="Selenium is not installed")
pytest.importorskip("axe_selenium_python", reason="axe-core is not installed")
pytest.importorskip("jinja2", reason="Jinja2 is not installed")
pytest.importorskip("pyarrow", reason="pyarrow is not installed")
from keras_integrity_hook.fleet.findings import Finding
from keras_integrity_hook.fleet.html_report.page import page as page_about
from keras_integrity_hook.fleet.results import Writer
from tests.support import audits

pytestmark = pytest.mark.skipif(not browsers.is_there(), reason="Chromium is not installed")

NASTY = "s3://models/\"'><script>document.title='taken'</script><img src=x onerror=alert(1)>" * 3
LONG = "/srv/" + "without-any-space-" * 60 + ".keras"


@pytest.fixture(scope="module")
def reports(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Addresses of pages: of three nights with a bit of everything, and of one in which all is
    well."""
    folder = tmp_path_factory.mktemp("reports")
    audits.write_audit(folder / "full", count=120, nights=3)
    run = audits.a_run(3)
    found = list(audits.some_findings(run, 120))
    for number, location in ((2, NASTY), (8, LONG)):
        found[number] = replace(found[number], location=location, model=location)
    write(folder / "full", 3, found)
    write(folder / "good", 0, [one for one in audits.some_findings(run, 60) if one.signers])
    for name in ("full", "good"):
        (folder / f"{name}.html").write_text(page_about(str(folder / name)), encoding="utf-8")
    return {name: (folder / f"{name}.html").as_uri() for name in ("full", "good")}


def write(folder: Path, night: int, found: list[Finding]) -> None:
    writer = Writer(str(folder), audits.a_run(night))
    writer.add(found)
    writer.end(len(found))


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    with browsers.opened(tmp_path_factory.mktemp("profile")) as page:
        yield page


@pytest.mark.parametrize(("scheme", "width"), [("light", 1280), ("dark", 400)])
def test_the_page_fits_can_be_read_and_asks_for_nothing(
    browser: Any, reports: dict[str, str], scheme: str, width: int
) -> None:
    """axe-core finds nothing, and Chromium neither refuses nor fetches anything."""
    browsers.look(browser, width=width, is_dark=scheme == "dark")
    for name, address in reports.items():
        browser.get(address)
        browsers.keep(browser, f"report-{name}-{scheme}-{width}")
        fetched = browser.execute_script(
            "return performance.getEntriesByType('resource').map(one => one.name)"
        )
        needs = browser.execute_script("return document.documentElement.scrollWidth")
        assert fetched == []
        assert needs <= width
        assert browser.get_log("browser") == []
        assert violations(browser) == []


def violations(page: Any) -> list[str]:
    from axe_selenium_python import Axe

    axe = Axe(page)
    axe.inject()
    found = axe.run()["violations"]
    return [f"{one['impact']}: {one['id']} {one['nodes'][0]['html']}" for one in found]


def test_a_script_of_strangers_neither_stands_in_the_page_nor_would_run(
    browser: Any, reports: dict[str, str]
) -> None:
    browser.get(reports["full"])
    assert "taken" not in browser.title
    assert browser.find_elements("css selector", "script, img") == []
    assert NASTY[:60] in browser.find_element("tag name", "main").text
    browser.execute_script(
        "const one = document.createElement('p');"
        "one.innerHTML = '<img src=x onerror=\"document.title = 1\">';"
        "document.body.append(one)"
    )
    assert any("violates" in one["message"] for one in browser.get_log("browser"))


def test_dark_and_light_are_what_the_person_chose(browser: Any, reports: dict[str, str]) -> None:
    colours = []
    browser.get(reports["good"])
    for is_dark in (False, True):
        browsers.look(browser, is_dark=is_dark)
        script = "return getComputedStyle(document.body).backgroundColor"
        colours.append(browser.execute_script(script))
    assert colours == ["rgb(255, 255, 255)", "rgb(16, 19, 23)"]


def test_links_lead_to_the_lists_that_they_speak_of(browser: Any, reports: dict[str, str]) -> None:
    browser.get(reports["full"])
    links = browser.find_elements("css selector", ".steps a")
    places = {one.get_attribute("href").rpartition("#")[2] for one in links}
    assert {"damaged", "dangerous", "refused", "unsealed", "failed"} <= places
    assert all(browser.find_element("id", place).is_displayed() for place in places)


def test_it_prints_in_the_colours_of_paper(
    browser: Any, reports: dict[str, str], tmp_path: Path
) -> None:
    """As PDF of several pages, though the reader's screen is dark."""
    browsers.look(browser, is_dark=True)
    browser.get(reports["full"])
    options = {"printBackground": False, "preferCSSPageSize": True}
    printed = browser.execute_cdp_cmd("Page.printToPDF", options)
    data = base64.b64decode(printed["data"])
    assert data.startswith(b"%PDF")
    assert data.count(b"/Type /Page\n") > 2
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "print"})
    script = "return getComputedStyle(document.body).color"
    assert browser.execute_script(script) == "rgb(0, 0, 0)"
