"""Reads slides, runs Marp CLI on decks, and makes each HTML file whole: nothing in it comes from the network."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import tempfile
from pathlib import Path

from .source import Deck, SlideError, Topic, deck, render, topic

ROOT = Path(__file__).resolve().parents[2]
HERE = Path(__file__).resolve().parent
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "microsoft-edge")
OUTSIDE = re.compile(
    r"""(?:\b(?:src|srcset|poster|data)\s*=\s*["']?|<link\b[^>]*\bhref\s*=\s*["']?|@import\s+(?:url\()?["']?|url\(["']?)"""
    r"""\s*((?:https?:)?//[^\s"')>]+)""",
    re.IGNORECASE,
)


def read(path: str) -> str:
    """The text of a file of the repository."""
    return (ROOT / path).read_text(encoding="utf-8")


def decks() -> list[str]:
    return sorted(path.stem for path in (ROOT / "slides" / "decks").glob("*.yml"))


def topics_of(which: Deck) -> list[Topic]:
    """Raises SlideError for a topic that has no file."""
    found = []
    for name in which.topics:
        try:
            found.append(topic(name, read(f"slides/{name}.md")))
        except FileNotFoundError:
            raise SlideError(f"slides/decks/{which.name}.yml: there is no slides/{name}.md") from None
    return found


def markdown(name: str) -> str:
    """A deck as Marp's Markdown. Raises SlideError."""
    which = deck(name, read(f"slides/decks/{name}.yml"))
    return render(which, topics_of(which), read)


def marp() -> str:
    """Marp CLI: $MARP, the PATH, or a copy of ours that npm installs once. Raises SlideError in words without npm."""
    given = os.environ.get("MARP") or shutil.which("marp")
    if given:
        return given
    place = ROOT / "build" / "marp"
    program = place / "node_modules" / ".bin" / "marp"
    lock = (HERE / "package-lock.json").read_bytes()
    if program.exists() and (place / "package-lock.json").read_bytes() == lock:
        return str(program)
    npm = shutil.which("npm")
    if npm is None:
        raise SlideError(
            "slides are built by Marp CLI, which npm installs, and there is no npm here: install Node.js 20 or newer "
            "(https://nodejs.org; Debian: apt install npm), or set MARP to a marp program"
        )
    place.mkdir(parents=True, exist_ok=True)
    for file in ("package.json", "package-lock.json"):
        shutil.copy(HERE / file, place / file)
    command = [npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--silent"]
    if subprocess.run(command, cwd=place, check=False).returncode:
        shutil.rmtree(place)
        raise SlideError("npm could not install Marp CLI, see above: a network or a registry is needed once")
    return str(program)


def browser() -> str | None:
    """A Chromium for PDF: $CHROME_PATH or the PATH."""
    return os.environ.get("CHROME_PATH") or next(filter(None, map(shutil.which, BROWSERS)), None)


def build(name: str, out: Path, *, pdf: bool = True, board: str = "", lab: str = "") -> list[Path]:
    """One deck: HTML, and PDF with the notes as annotations. Raises SlideError."""
    text = markdown(name)
    program = marp()
    out.mkdir(parents=True, exist_ok=True)
    page = out / f"{name}.html"
    with tempfile.TemporaryDirectory(prefix="slides-") as folder:
        source = Path(folder, f"{name}.md")
        source.write_text(text, encoding="utf-8")
        _run(program, source, page)
        page.write_text(whole(page.read_text(encoding="utf-8"), board, lab), encoding="utf-8")
        if not pdf:
            return [page]
        if browser() is None:
            raise SlideError(f"{page} is built; a PDF needs Chromium (Debian: apt install chromium) or CHROME_PATH")
        _run(program, source, out / f"{name}.pdf", "--pdf", "--pdf-notes", "--pdf-outlines")
    return [page, out / f"{name}.pdf"]


def _run(program: str, source: Path, target: Path, *more: str) -> None:
    environment = {**os.environ, "PUPPETEER_SKIP_DOWNLOAD": "1"}
    found = browser()
    if found:
        environment["CHROME_PATH"] = found
    if os.geteuid() == 0:
        environment["CHROME_NO_SANDBOX"] = "1"
    command = [program, str(source), "-o", str(target), "--config-file", str(HERE / "marp.config.json"), "--no-stdin"]
    command += ["--theme-set", str(ROOT / "slides" / "theme" / "workshop.css"), *more]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode or not target.exists():
        raise SlideError(f"marp could not build {target.name}:\n{done.stderr.strip()[-2000:]}")


def whole(page: str, board: str, lab: str) -> str:
    """With the deck's script inside. Raises SlideError when the page would load something from elsewhere."""
    places = json.dumps({"board": board, "lab": lab}).replace("<", "\\u003c")
    script = read("slides/theme/deck.js").replace("/*PLACES*/ {}", places)
    head, end, tail = page.rpartition("</body>")
    made = f"{head}<script>{script}</script>{end}{tail}"
    outside = OUTSIDE.search(re.sub(r"<script>.*?</script>", "", made, flags=re.DOTALL))
    if outside:
        raise SlideError(f"a deck may load nothing from the network, and this one would load {outside[1]}")
    return made
