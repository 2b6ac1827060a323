"""A real Chromium, the system's own, for the tests of the page."""

from __future__ import annotations

import os
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from playwright.async_api import Browser, Page

NAMES = ("chromium", "chromium-browser", "google-chrome")


def chromium() -> str:
    """Its path; skips the test where there is none, or nothing to drive it with."""
    pytest.importorskip("playwright.async_api", reason="playwright is not installed")
    pytest.importorskip("axe_playwright_python", reason="axe-playwright-python is not installed")
    found = next(filter(None, map(shutil.which, NAMES)), None)
    if found is None:
        pytest.skip("chromium is not installed")
    return found


@asynccontextmanager
async def started_browser() -> AsyncIterator[Browser]:
    path = chromium()
    from playwright.async_api import async_playwright

    # A browser in a container, or of root, has no sandbox of its own; it opens our page alone.
    arguments = ["--no-sandbox"] if os.geteuid() == 0 else []
    async with async_playwright() as driver:
        browser = await driver.chromium.launch(executable_path=path, args=arguments)
        try:
            yield browser
        finally:
            await browser.close()


@asynccontextmanager
async def opened(browser: Browser, file: Path, **looks: Any) -> AsyncIterator[Page]:
    """The file as a page that is ready; whatever its script or the browser complains of fails."""
    page = await browser.new_page(**looks)
    complaints: list[str] = []
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("console", lambda message: complaints.append(message.text))
    try:
        await page.goto(file.as_uri())
        yield page
    finally:
        await page.close()
    assert complaints == []
