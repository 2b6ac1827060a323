"""The page of `report --html` in a real browser: what it answers, for everybody, and on paper."""

from __future__ import annotations

import random
import re
from collections.abc import AsyncIterator, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
import pytest_asyncio

from tests.support.browser import opened, started_browser
from tests.support.log_samples import FIRST_NIGHT, at, hex_id, invoke, record, write_log
from worker.cli.report import report
from worker.core.outcomes import Error, Record

if TYPE_CHECKING:
    from playwright.async_api import Browser, Page

pytestmark = pytest.mark.asyncio(loop_scope="module")

TYPES = [f"error_{number}" for number in range(9)]
MESSAGE = "Something before the API answered, and this is the first of what it said. " * 6


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def browser() -> AsyncIterator[Browser]:
    async with started_browser() as started:
        yield started


@pytest.fixture(scope="module")
def page_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of sixty-one nights in two logs with one name: everything that a page can show."""
    nights = [_night(night, 10 if night < 59 else 300) for night in range(61)]
    return _page(tmp_path_factory.mktemp("page"), nights)


@pytest.fixture(scope="module")
def short_page_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of everything a little: axe looks at each element, shown or not."""
    nights = [_night(night, 8 if night < 19 else 300) for night in range(20)]
    return _page(tmp_path_factory.mktemp("short"), nights)


def _page(place: Path, nights: Sequence[Sequence[Record]]) -> Path:
    logs = []
    for name, part in (("a", nights[:-1]), ("b", nights[-1:])):
        (place / name).mkdir()
        lines = [line for night in part for line in night]
        logs.append(write_log(place / name / "night.results.jsonl", *lines))
    page = place / "page.html"
    invoke(report, *logs, "--html", str(page))
    return page


def _night(night: int, count: int) -> list[Record]:
    start = FIRST_NIGHT + timedelta(days=night)
    dice = random.Random(night)
    return [_line(night, n, start, dice) for n in range(count)]


def _line(night: int, n: int, start: datetime, dice: random.Random) -> Record:
    where: dict[str, Any] = {
        "run": f"run-{night}",
        "at": at(n / 5 + (300 if n > 150 else 0), start),
        "line": n,
        "latency_ms": dice.lognormvariate(4.4, 0.4),
        "target": "https://api.example.com/v1 live 1a2b3c4d",
    }
    key = hex_id(1000 * night + n)
    if n % 4 == 1:
        return record(key, "not_found", "resource_not_found", **where)
    if n % 4 == 3 or night == 19:
        error = Error(dice.choice(TYPES), MESSAGE)
        return msgspec.structs.replace(record(key, "failed", **where), error=error)
    return record(f"text-{night}-{n}" if n == 2 else key, **where)


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [390, 800, 1400])
async def test_page_bars_nobody(
    browser: Browser, short_page_file: Path, width: int, scheme: str
) -> None:
    from axe_playwright_python.async_playwright import Axe

    looks = {"viewport": {"width": width, "height": 900}, "color_scheme": scheme}
    async with opened(browser, short_page_file, **looks) as page:
        await page.fill("#lookup input", "text-1")
        await page.wait_for_selector("#found li")
        # Rows are all alike: to look at each of hundreds takes its time.
        results = await Axe().run(page, {"exclude": [["tbody tr:nth-child(n+6)"]]})
        serious = [
            f"{found['id']}: {found['nodes'][0]['html'][:200]}"
            for found in results.response["violations"]
            if found["impact"] in ("serious", "critical")
        ]
        assert serious == []
        assert await page.evaluate("document.documentElement.scrollWidth <= innerWidth")


async def _found(page: Page, wanted: str) -> list[str]:
    await page.fill("#lookup input", wanted)
    await page.wait_for_function(
        "wanted => document.querySelector('#found').dataset.prefix === wanted", arg=wanted
    )
    return await page.locator("#found li").all_inner_texts()


async def test_any_id_of_the_logs_can_be_looked_up(browser: Browser, page_file: Path) -> None:
    async with opened(browser, page_file) as page:
        [settled] = await _found(page, hex_id(4004))
        assert settled.startswith(f"{hex_id(4004)} ✓ processing, recorded by run run-4")
        assert "a/night.results.jsonl" in settled
        [failed] = await _found(page, hex_id(60_003))
        assert re.search(r"✕ failed \(error_\d\), recorded by run run-60,", failed)
        assert "b/night.results.jsonl" in failed
        [missing] = await _found(page, hex_id(1001))
        assert "? not found (resource_not_found)" in missing
        [text] = await _found(page, "text-60-2")
        assert "✓ processing" in text
        assert await _found(page, "nobody") == []
        assert "No id in these logs begins with nobody" in await page.inner_text("#found")


async def test_looking_up_how_ids_begin_names_the_first_ones(
    browser: Browser, page_file: Path
) -> None:
    async with opened(browser, page_file) as page:
        found = await _found(page, "00000")
        assert [line.split()[0] for line in found[:3]] == [hex_id(0), hex_id(1), hex_id(3)]
        assert len(found) == 20
        assert "More ids begin so" in await page.inner_text("#found")


@pytest.mark.parametrize("outcome", ["failed", "not-found"])
async def test_long_lists_come_in_pages_that_can_be_searched(
    browser: Browser, page_file: Path, outcome: str
) -> None:
    rows = f"#{outcome}-ids tbody tr:visible"
    async with opened(browser, page_file) as page:
        section = page.locator(f"#{outcome}")
        assert await page.locator(rows).count() == 100
        total = await page.locator(f"#{outcome}-ids tbody tr").count()
        assert await section.locator(".place").inner_text() == f"Page 1 of {-(-total // 100)}"
        assert await section.get_by_role("button", name="Previous").is_disabled()
        first = await page.locator(rows).first.inner_text()
        await section.get_by_role("button", name="Next").click()
        assert await page.locator(rows).first.inner_text() != first
        await section.locator("input").fill("run-59")
        await page.wait_for_function(
            f"() => document.querySelector('#{outcome} .shown').textContent === '75 of {total} ids'"
        )
        assert await page.locator(rows).count() == 75
        assert await section.locator(".pager").is_hidden()


async def test_much_is_folded_and_opens(browser: Browser, page_file: Path) -> None:
    async with opened(browser, page_file) as page:
        assert await page.locator(".error:visible").count() == 6
        await page.get_by_text("4 more error types").click()
        assert await page.locator(".error:visible").count() == 10
        assert await page.locator("#runs tbody tr:visible").count() == 14
        await page.get_by_text("47 older runs").click()
        assert await page.locator("#runs tbody tr:visible").count() == 61


@pytest.mark.parametrize("scripts", [True, False], ids=["with scripts", "without"])
async def test_printed_page_is_short(browser: Browser, page_file: Path, scripts: bool) -> None:
    async with opened(browser, page_file, java_script_enabled=scripts) as page:
        paper = await page.pdf(format="A4")
    sheets = len(re.findall(rb"/Type\s*/Page\b", paper))
    assert 3 < sheets < 20


async def test_page_without_scripts_shows_its_lists_and_says_how_to_ask(
    browser: Browser, page_file: Path
) -> None:
    async with opened(browser, page_file, java_script_enabled=False) as page:
        assert await page.locator("#failed-ids tbody tr:visible").count() > 200
        assert "complete-sessions report RESULTS --id ID" in await page.inner_text("#lookup")
