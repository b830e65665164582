"""PURE: topics, decks, and what the directives of a slide become. I/O is handed in as `read`."""

from __future__ import annotations

import html
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import yaml

from .code import Missing, extract

Read = Callable[[str], str]
"""The text of a file by its path in the repository. Raises FileNotFoundError."""

THEN, NOW = "2018", "1.36"
COMMENT = re.compile(r"<!--(.*?)-->", re.DOTALL)
FENCE = re.compile(r"^```.*?^```$", re.DOTALL | re.MULTILINE)
CODE = re.compile(r'^(?P<module>[\w.]+):(?P<symbol>[\w.]+)(?P<plain> without docstring)?(?: from "(?P<start>[^"]+)")?'
                  r'(?: until "(?P<until>[^"]+)")?$')  # fmt: skip


class SlideError(Exception):
    """A slide that cannot be built; the text names the topic and says what to do."""


@dataclass(frozen=True)
class Topic:
    """One file of slides. `minutes`: how long it takes to present, with what the room does in it."""

    name: str
    title: str
    minutes: float
    body: str

    @property
    def slides(self) -> list[str]:
        return re.split(r"^---$", self.body, flags=re.MULTILINE)


@dataclass(frozen=True)
class Deck:
    """A talk: topics in order, and how long it may take."""

    name: str
    title: str
    subtitle: str
    minutes: float
    topics: tuple[str, ...]


def topic(name: str, text: str) -> Topic:
    """Raises SlideError when the head is missing or a slide has no notes."""
    parts = re.match(r"---\n(.*?)\n---\n(.*)", text, re.DOTALL)
    head = yaml.safe_load(parts[1]) if parts else None
    if parts is None or not isinstance(head, dict) or not {"title", "minutes"} <= head.keys():
        raise SlideError(f"slides/{name}.md: it has to start with title: and minutes: between two lines of ---")
    made = Topic(name, str(head["title"]), float(head["minutes"]), parts[2].strip())
    for number, slide in enumerate(made.slides, 1):
        if not re.search(r"<!-- notes\s", slide):
            raise SlideError(f"slides/{name}.md: slide {number} has no notes for the speaker")
    return made


def deck(name: str, text: str) -> Deck:
    """Raises SlideError."""
    head = yaml.safe_load(text)
    if not isinstance(head, dict) or not {"title", "subtitle", "minutes", "topics"} <= head.keys():
        raise SlideError(f"slides/decks/{name}.yml: it needs title, subtitle, minutes and topics")
    return Deck(name, head["title"], head["subtitle"], float(head["minutes"]), tuple(head["topics"]))


def render(which: Deck, topics: list[Topic], read: Read) -> str:
    """A deck as Marp's Markdown. Raises SlideError."""
    total = sum(one.minutes for one in topics)
    if total > which.minutes:
        raise SlideError(
            f"slides/decks/{which.name}.yml: its topics take {total:g} minutes, the deck has {which.minutes:g}"
        )
    head: dict[str, Any] = {
        "marp": True,
        "theme": "workshop",
        "paginate": True,
        "size": "16:9",
        "title": which.title,
        "description": which.subtitle,
        "lang": "en",
    }
    front = yaml.safe_dump(head, sort_keys=False)
    pages = [expand(one, read, which) for one in topics]
    return f"---\n{front}---\n\n" + "\n\n---\n\n".join(pages) + "\n"


def expand(one: Topic, read: Read, which: Deck) -> str:
    """A topic with its directives carried out; what stands in fenced code stays as it is. Raises SlideError."""
    fences: list[str] = []

    def keep(match: re.Match[str]) -> str:
        fences.append(match[0])
        return f"\0{len(fences) - 1}\0"

    def replace(match: re.Match[str]) -> str:
        try:
            return directive(match[1].strip(), read)
        except (Missing, FileNotFoundError) as problem:
            raise SlideError(f"slides/{one.name}.md: <!-- {match[1].strip()[:60]} -->: {problem}") from None

    text = COMMENT.sub(replace, FENCE.sub(keep, one.body))
    text = text.replace("{deck.title}", which.title).replace("{deck.subtitle}", which.subtitle)
    text = re.sub("\0(\\d+)\0", lambda match: fences[int(match[1])], text)
    slides = [f'<div class="topic">{html.escape(one.title)}</div>\n\n{slide.strip()}' for slide in
              re.split(r"^---$", text, flags=re.MULTILINE)]  # fmt: skip
    return "\n\n---\n\n".join(slides)


def directive(text: str, read: Read) -> str:
    """What one comment becomes. Raises Missing, FileNotFoundError."""
    word, _, rest = text.partition(":") if re.match(r"[\w]+:", text) else (text.split()[0], "", text)
    rest = rest.strip()
    if text.startswith("notes"):
        # a dash keeps Marp from reading a sentence with a colon as settings
        lines = text.removeprefix("notes").strip().splitlines()
        return "<!--\n" + "\n".join(f"– {line.strip()}" if line.strip() else "" for line in lines) + "\n-->"
    if word == "code":
        return code(rest, read)
    if word == "figure":
        return f'<figure class="drawing">{_one_line(read(f"slides/figures/{rest}.svg"))}</figure>'
    if word == "board":
        return board(rest)
    if word == "lab":
        return lab(rest, read)
    if text == "then":
        return f'<div class="then-now"><div class="then"><b class="mark">{THEN}</b>\n'
    if text == "now":
        return f'\n</div><div class="now"><b class="mark">{NOW}</b>\n'
    if text == "end":
        return "\n</div></div>"
    if word.startswith("_"):
        return f"<!-- {text} -->"
    raise Missing(f"there is no directive {word!r}")


def code(text: str, read: Read) -> str:
    """Source by name, with the name above it: that is where the learner opens it."""
    wanted = CODE.match(text)
    if wanted is None:
        raise Missing('say it as module:symbol, then [without docstring] [from "…"] [until "…"]')
    path = wanted["module"].replace(".", "/") + ".py"
    shown = extract(
        read(path),
        wanted["symbol"],
        docstring=wanted["plain"] is None,
        start=wanted["start"] or "",
        until=wanted["until"] or "",
    )
    name = f"{path.removeprefix('workshop/')} · {wanted['symbol']}"
    return (
        f'<div class="code" style="--size: {code_size(shown)}px">\n\n<div class="source">{html.escape(name)}</div>\n\n'
        f"```python\n{shown}\n```\n\n</div>"
    )


def code_size(shown: str) -> float:
    """The largest type, 21.5 px at most, in which it fits 1,088 x 500 px (a monospaced character is 0.603 em wide)."""
    lines = shown.splitlines()
    return round(min(21.5, 1088 / 0.603 / max(map(len, lines)), 500 / 1.42 / len(lines)), 1)


def board(what: str) -> str:
    """The live board in a frame; until one runs, how to start it. The deck's script joins the two."""
    return (
        '<div class="board" data-board><div class="without">'
        "<b>No board is running.</b><p>In a terminal: <code>workshop board</code>. Paste the address it prints:</p>"
        '<form><input type="url" aria-label="address of the board" placeholder="http://127.0.0.1:…"/>'
        "<button>Open</button></form></div></div>" + (f'<p class="watch">{html.escape(what)}</p>' if what else "")
    )


def lab(name: str, read: Read) -> str:
    """A link that opens the lab in the running JupyterLab. Raises FileNotFoundError for a lab that is not there."""
    heading = re.search(r"^# (.+)$", read(f"labs/{name}.md"), re.MULTILINE)
    title = heading[1] if heading else name
    place = "http://127.0.0.1:8888/lab/tree/labs/"
    return (
        f'<p class="lab"><a data-lab="{html.escape(name)}.ipynb" href="{place}{html.escape(name)}.ipynb">'
        f"<b>Lab</b> {html.escape(title)}</a></p>"
    )


def _one_line(svg: str) -> str:
    """Markdown ends a block of HTML at an empty line, and an indented one would be code."""
    return "".join(line.strip() + " " for line in svg.splitlines() if line.strip())
