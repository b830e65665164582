"""Debian's Chromium, driven by Playwright, for tests; without it they are skipped (in CI it has to be there)."""

import contextlib
import os
import shutil
from pathlib import Path

import pytest

PATIENCE = 60_000
"""Milliseconds that a browser is waited for: machines of CI are slow at times."""
AXE = Path(__file__).resolve().parents[2] / ".cache" / "axe-core" / "package" / "axe.min.js"


def _missing(what):
    if os.environ.get("CI"):
        pytest.fail(f"{what} is missing: `make packages` installs it")
    pytest.skip(f"{what} is missing: `make packages` installs it")


@contextlib.contextmanager
def chromium():
    """A headless browser."""
    try:
        from playwright.sync_api import sync_playwright
    except ModuleNotFoundError:
        _missing("Playwright")
    program = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("chromium-browser")
    if program is None:
        _missing("Chromium")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
        try:
            yield browser
        finally:
            browser.close()


@contextlib.contextmanager
def page(browser, **options):
    """A page of its own; whatever goes wrong inside is a failure of the test."""
    context = browser.new_context(viewport={"width": 1280, "height": 800}, **options)
    context.set_default_timeout(PATIENCE)
    made = context.new_page()
    problems = []
    made.on("pageerror", lambda error: problems.append(str(error)))
    made.on("console", lambda message: problems.append(message.text) if message.type == "error" else None)
    try:
        yield made
        assert problems == []
    finally:
        context.close()


def shows(found, *words):
    """Wait until the text of this locator has all these words; what it is then."""
    for word in words:
        found = found.filter(has_text=word)
    found.first.wait_for()
    return found.first.inner_text()


def serious(page, within="body"):
    """What axe-core finds serious or critical on a page, as [(rule, first element)]."""
    if not AXE.exists():
        _missing("axe-core")
    page.evaluate(AXE.read_text(encoding="utf-8"))
    found = page.evaluate("selector => axe.run(selector, {resultTypes: ['violations']})", within)
    bad = [one for one in found["violations"] if one["impact"] in ("serious", "critical")]
    return [(one["id"], one["nodes"][0]["html"][:200], one["nodes"][0]["failureSummary"]) for one in bad]
