"""`python -m tools.slides build [DECK …]` and `check`."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from . import build
from .source import SlideError, deck


def main(argv: list[str] | None = None) -> int:
    """Status 1 with a sentence when something cannot be built."""
    parser = argparse.ArgumentParser(prog="python -m tools.slides", description="HTML and PDF of the decks.")
    parser.add_argument("command", choices=["build", "check", "list"])
    parser.add_argument("decks", nargs="*", help="names in slides/decks; all when none is given")
    parser.add_argument("--out", type=Path, default=build.ROOT / "build" / "slides")
    parser.add_argument("--no-pdf", action="store_true", help="HTML only")
    parser.add_argument("--board", default="", metavar="URL", help="where `workshop board` serves the live board")
    parser.add_argument("--lab", default="", metavar="URL", help="where labs open (default: that of `make lab`)")
    options = parser.parse_args(argv)
    try:
        for name in options.decks or build.decks():
            if options.command == "list":
                which = deck(name, build.read(f"slides/decks/{name}.yml"))
                taken = sum(topic.minutes for topic in build.topics_of(which))
                print(f"{name:<14} {taken:g} of {which.minutes:g} minutes, {len(which.topics)} topics")
            elif options.command == "check":
                slides = build.markdown(name).count("\n\n---\n\n") + 1
                print(f"{name}: {slides} slides")
            else:
                for path in build.build(
                    name, options.out, pdf=not options.no_pdf, board=options.board, lab=options.lab
                ):
                    print(path)
    except (SlideError, FileNotFoundError) as problem:
        sys.stderr.write(f"slides: {problem}\n")
        return 1
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
