# SPDX-License-Identifier: Apache-2.0
"""A real browser: Chromium and its driver, Debian's ``chromium`` and ``chromium-driver``."""

from __future__ import annotations

import base64
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

CHROMIUM, DRIVER = shutil.which("chromium"), shutil.which("chromedriver")


def is_there() -> bool:
    """Whether there is a browser to look with."""
    return bool(CHROMIUM and DRIVER)


@contextmanager
def opened(profile: Path, *, width: int = 1400, height: int = 1000) -> Iterator[Any]:
    """A browser without a window, which keeps what it keeps in ``profile``."""
    from selenium import webdriver

    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM or ""
    size = f"window-size={width},{height}"
    for argument in ("headless=new", "no-sandbox", "disable-dev-shm-usage", size):
        options.add_argument(f"--{argument}")
    options.add_argument(f"--user-data-dir={profile}")
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    page = webdriver.Chrome(options, webdriver.ChromeService(executable_path=DRIVER))
    try:
        yield page
    finally:
        page.quit()


def look(page: Any, *, width: int = 1280, is_dark: bool = False) -> None:
    """Let the page be as wide as a window of ``width`` pixels, and light or dark."""
    scheme = {"name": "prefers-color-scheme", "value": "dark" if is_dark else "light"}
    size = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": False}
    page.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [scheme]})
    page.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    page.execute_cdp_cmd("Emulation.setScrollbarsHidden", {"hidden": True})


def keep(page: Any, name: str = "") -> None:
    """A picture of the whole page for whoever wants to look at it, in ``$SCREENSHOTS``."""
    folder = os.environ.get("SCREENSHOTS")
    if not folder:
        return
    name = name or str(len(list(Path(folder).glob("*.png"))))
    size = page.execute_cdp_cmd("Page.getLayoutMetrics", {})["cssContentSize"]
    whole = {"captureBeyondViewport": True, "clip": {**size, "scale": 1}}
    taken = page.execute_cdp_cmd("Page.captureScreenshot", whole)
    Path(folder, f"{name}.png").write_bytes(base64.b64decode(taken["data"]))
