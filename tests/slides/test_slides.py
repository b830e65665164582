"""The slides: what directives become, what is refused, and the decks as they are built and shown."""

from __future__ import annotations

import http.server
import os
import re
import shutil
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from tools.slides import build, code
from tools.slides.source import Deck, SlideError, Topic, directive, expand, render, topic

FILES = {
    "workshop/one.py": 'X = 1\n\n\nclass A:\n    def m(self) -> int:\n        """Says."""\n        y = X\n        return y\n',
    "slides/figures/f.svg": "<svg>\n\n  <rect/>\n</svg>\n",
    "labs/00-tour.md": "# 00 Tour: who?\n",
}
DECK = Deck("d", "Title", "Sub", 10, ("t",))


def read(path: str) -> str:
    if path not in FILES:
        raise FileNotFoundError(path)
    return FILES[path]


def page(body: str) -> str:
    return expand(Topic("t", "T", 1, body), read, DECK)


# -- pure ------------------------------------------------------------------------------------------------------------


def test_code_is_taken_by_name_and_cut():
    assert code.extract(FILES["workshop/one.py"], "A.m") == (
        'def m(self) -> int:\n    """Says."""\n    y = X\n    return y'
    )
    assert "Says" not in code.extract(FILES["workshop/one.py"], "A.m", docstring=False)
    assert code.extract(FILES["workshop/one.py"], "A.m", start="y = X", until="y = X") == "y = X"


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ("<!-- code: workshop.one:A.gone -->", r"t\.md: .* there is no 'A\.gone'"),
        ("<!-- code: workshop.two:A -->", "workshop/two.py"),
        ('<!-- code: workshop.one:A.m until "z = 1" -->', "no line with 'z = 1'"),
        ("<!-- lab: 99-none -->", "labs/99-none.md"),
        ("<!-- figure: none -->", "none.svg"),
        ("<!-- codee: workshop.one:A -->", "no directive 'codee'"),
        ("<!-- nwo -->", "no directive 'nwo'"),
    ],
)
def test_what_is_gone_stops_the_build(body, words):
    with pytest.raises(SlideError, match=words):
        page(body)


def test_code_that_does_not_fit_a_slide_is_refused():
    long = "def f():\n" + "    x = 1\n" * 30
    with pytest.raises(code.Missing, match="a slide shows 24"):
        code.extract(long, "f")


def test_fenced_examples_are_left_alone():
    assert "<!-- nwo -->" in page("```html\n<!-- nwo -->\n```")


def test_directives_say_what_they_show():
    assert "then" in directive("then", read) and "2018" in directive("then", read)
    assert "1.36" in directive("now", read)
    assert directive("figure: f", read) == '<figure class="drawing"><svg> <rect/> </svg> </figure>'
    assert "workshop board" in directive("board: look <here>", read)
    assert "look &lt;here&gt;" in directive("board: look <here>", read)
    assert 'labs/00-tour.ipynb"' in directive("lab: 00-tour", read)
    notes = directive("notes\nSay: this.\n\nAnd that.", read)
    assert notes == "<!--\n– Say: this.\n\n– And that.\n-->"


def test_a_deck_longer_than_its_time_is_refused():
    slow = Topic("t", "T", 11, "# A\n<!-- notes x -->")
    with pytest.raises(SlideError, match="take 11 minutes, the deck has 10"):
        render(DECK, [slow], read)


def test_a_slide_without_notes_is_refused():
    with pytest.raises(SlideError, match="slide 2 has no notes"):
        topic("t", "---\ntitle: T\nminutes: 1\n---\n# A\n<!-- notes\nx -->\n\n---\n\n# B\n")


def test_a_page_that_would_load_from_elsewhere_is_refused():
    for loads in ('<img src="https://x.test/a.png">', "<style>@import url(//x.test/a.css)</style>", '<link href=https://x.test/f rel=stylesheet>'):  # fmt: skip
        with pytest.raises(SlideError, match=r"would load \S*//x\.test"):
            build.whole(f"<html><body>{loads}</body></html>", "", "")
    assert "https://x.test" in build.whole(
        '<body><a href="https://x.test">a</a></body>', "", ""
    )  # a link loads nothing


def test_without_npm_it_is_said_in_words(monkeypatch):
    monkeypatch.delenv("MARP", raising=False)
    monkeypatch.setattr(build, "ROOT", Path("/nonexistent"))
    monkeypatch.setattr(shutil, "which", lambda *_, **__: None)
    with pytest.raises(SlideError, match="there is no npm here: install Node"):
        build.marp()


# -- the decks of this repository ------------------------------------------------------------------------------------

CONCEPTS = (
    "10-state", "11-desired-state", "12-current-state", "13-api", "14-ways-in", "15-control-plane-duties",
    "16-controllers", "17-node-controller", "18-replication", "19-endpoints", "20-service-accounts", "21-nodes",
)  # fmt: skip


def test_every_concept_says_then_and_now_and_is_in_the_long_decks():
    for name in CONCEPTS:
        body = build.read(f"slides/{name}.md")
        assert all(f"<!-- {word} -->" in body for word in ("then", "now", "end")), name
    for deck in ("half-day", "full-day"):
        assert all(f"- {name}\n" in build.read(f"slides/decks/{deck}.yml") for name in CONCEPTS), deck


def test_every_topic_is_in_a_deck_and_every_deck_renders():
    assert build.decks() == ["90-minutes", "full-day", "half-day"]
    text = "".join(build.read(f"slides/decks/{name}.yml") for name in build.decks())
    for path in (build.ROOT / "slides").glob("*.md"):
        assert f"- {path.stem}\n" in text, f"{path.name} is in no deck"
    for name in build.decks():
        assert build.markdown(name).startswith("---\nmarp: true")


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """The longest deck, built as `make slides` does, with the address of a board that a test serves."""
    if not (os.environ.get("MARP") or shutil.which("marp") or shutil.which("npm")):
        pytest.skip("Marp CLI needs npm")
    out = tmp_path_factory.mktemp("slides")
    with_pdf = build.browser() is not None
    command = [sys.executable, "-m", "tools.slides", "build", "full-day", "--out", str(out)]
    done = subprocess.run(
        [*command, *([] if with_pdf else ["--no-pdf"])], capture_output=True, text=True, cwd=build.ROOT, check=False
    )
    assert done.returncode == 0, done.stderr
    return out


def test_html_and_pdf_have_every_slide_with_its_notes(built):
    text = (built / "full-day.html").read_text()
    slides = build.markdown("full-day").count("\n\n---\n\n") + 1
    assert len(re.findall(r"<section\b", text)) == slides
    assert len(re.findall(r"bespoke-marp-note", text)) >= slides
    assert "Nobody lies when a dead node" in text and "def zone_rate" in text.replace("</span>", "").replace('<span class="hljs-keyword">', "").replace('<span class="hljs-title function_">', "")  # fmt: skip
    if build.browser() is None:
        pytest.skip("a PDF needs Chromium")
    pdf = (built / "full-day.pdf").read_bytes()
    assert pdf.startswith(b"%PDF-") and len(pdf) > 100_000


class _Board(http.server.BaseHTTPRequestHandler):
    asked: list[str]

    def do_GET(self) -> None:
        self.asked.append(self.path)
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        self.end_headers()
        self.wfile.write(b"<h1>the board</h1>")

    def log_message(self, *_: object) -> None:
        return


async def test_in_a_browser_nothing_overflows_and_the_board_comes_when_it_runs(built):
    playwright = pytest.importorskip("playwright.async_api", reason="the browser test needs playwright")
    chromium = build.browser()
    if chromium is None:
        pytest.skip("no Chromium")
    page_url = (built / "full-day.html").as_uri()
    asked: list[str] = []
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), type("Board", (_Board,), {"asked": asked}))
    serving = threading.Thread(target=server.serve_forever)
    serving.start()
    try:
        async with playwright.async_playwright() as p:
            browser = await p.chromium.launch(
                executable_path=chromium, args=["--no-sandbox"] if os.geteuid() == 0 else []
            )
            page = await browser.new_page(viewport={"width": 1280, "height": 720})
            page.set_default_timeout(120_000)
            requests: list[str] = []
            page.on("request", lambda request: requests.append(request.url))
            await page.goto(page_url)
            too_long = await page.evaluate(
                "[...document.querySelectorAll('section')].filter(s => s.scrollHeight > 720 || s.scrollWidth > 1280)"
                ".map(s => s.querySelector('h1,h2')?.textContent)"
            )
            assert too_long == []
            assert requests == [page_url]  # nothing is loaded from anywhere
            assert await page.locator("[data-board] .without").count() == 1
            assert await page.locator("iframe").count() == 0
            board = f"http://127.0.0.1:{server.server_address[1]}/?token=t"
            await page.goto(f"{page_url}?board={board}&lab=http://127.0.0.1:9999/lab/tree/labs/#7")
            await page.locator("[data-board] iframe").wait_for(state="attached")
            assert await page.frame_locator("[data-board] iframe").locator("h1").text_content() == "the board"
            assert any("embed" in path and "token=t" in path for path in asked)
            link = page.locator("[data-lab]").first
            assert await link.get_attribute("href") == "http://127.0.0.1:9999/lab/tree/labs/00-tour.ipynb"
            await page.goto(f"{page_url}?board=javascript:alert(1)")
            assert await page.locator("iframe").count() == 0
            await browser.close()
    finally:
        server.shutdown()
        serving.join()
        server.server_close()
