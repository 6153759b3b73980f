"""A real browser to look at the HTML report with. Where there is none, its tests are skipped, but never in CI."""

import os
import shutil
import time
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import pytest
from playwright.sync_api import Browser, Dialog, Page, sync_playwright

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
_ARGUMENTS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)


@dataclass
class Seen:
    """What a page did besides showing itself."""

    requests: list[str] = field(default_factory=list)
    complaints: list[str] = field(default_factory=list)
    """Console messages, uncaught errors and dialogs."""


def executable() -> str:
    """The path of a Chromium: `CRUCIBLE_CHROMIUM`, or the first on the PATH. Without one the test is skipped; in CI it
    fails."""
    chosen = os.environ.get("CRUCIBLE_CHROMIUM") or next(filter(None, map(shutil.which, NAMES)), None)
    if chosen is not None:
        return chosen
    missing = "no Chromium: install one (`apt-get install chromium`), or name one in CRUCIBLE_CHROMIUM"
    if os.environ.get("CI"):
        pytest.fail(missing)
    pytest.skip(missing)


@contextmanager
def chromium() -> Iterator[Browser]:
    path = executable()
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=list(_ARGUMENTS))
        try:
            yield browser
        finally:
            browser.close()


@contextmanager
def opened(browser: Browser, path: Path, *, scripts: bool = True) -> Iterator[tuple[Page, Seen]]:
    """A page of its own, after it has drawn its plots."""
    context = browser.new_context(
        viewport={"width": 1280, "height": 900}, reduced_motion="reduce", java_script_enabled=scripts
    )
    page, seen = context.new_page(), Seen()
    page.on("request", lambda request: seen.requests.append(request.url))
    page.on("console", lambda message: seen.complaints.append(f"{message.type}: {message.text}"))
    page.on("pageerror", lambda error: seen.complaints.append(str(error)))
    page.on("dialog", lambda dialog: _dismissed(dialog, seen))
    try:
        page.goto(path.as_uri())
        if scripts:
            drawn(page)
        yield page, seen
    finally:
        context.close()


def shaped(page: Page, width: int, scheme: Literal["light", "dark"]) -> None:
    """Make the window so wide, on a system of that colour scheme, and wait until the plots have followed."""
    page.set_viewport_size({"width": width, "height": 900})
    page.emulate_media(color_scheme=scheme, reduced_motion="reduce")
    drawn(page)


def drawn(page: Page) -> None:
    """Wait until every plot that can be seen has axes, as wide as its place."""
    until(
        page,
        "[...document.querySelectorAll('.view:not([hidden]) > .plot')].every("
        "it => it.querySelector('.xtick') && Math.abs(it.clientWidth - it._fullLayout.width) < 2)",
    )


def until(page: Page, condition: str, seconds: float = 10) -> None:
    """Wait for a condition; `Page.wait_for_function` cannot, where a page's policy forbids eval."""
    end = time.monotonic() + seconds
    while not page.evaluate(condition):
        assert time.monotonic() < end, f"still not so after {seconds} s: {condition}"
        page.wait_for_timeout(30)


def shades(png: bytes) -> int:
    """How many different bytes a PNG's filtered rows hold: a handful on a blank picture."""
    position, rows = 8, b""
    while position < len(png):
        length = int.from_bytes(png[position : position + 4], "big")
        if png[position + 4 : position + 8] == b"IDAT":
            rows += png[position + 8 : position + 8 + length]
        position += length + 12
    return len(set(zlib.decompress(rows)))


def _dismissed(dialog: Dialog, seen: Seen) -> None:
    seen.complaints.append(f"dialog: {dialog.message}")
    dialog.dismiss()
