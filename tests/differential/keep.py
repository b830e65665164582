"""python -m tests.differential.keep: of the real server's answers that are remembered, the ones that say something new
go to tests/apiserver/real/refusals.json, and of the stories each step's to stories.json. CI compares them with ours."""

from __future__ import annotations

import argparse
import json
import re
from pathlib import Path
from typing import Any

from . import cases, explained
from .cases import Sheet
from .masks import comparable
from .remembered import Remembered

FACTS = Path(__file__).parents[1] / "apiserver" / "real" / "refusals.json"
STORIES = FACTS.with_name("stories.json")
VERSION = "v1.36.2"
MOST = 2
"""Causes of an answer that is kept: those with more say nothing new."""
LONGEST = 400
NUMBERS = re.compile(r"\[\d+\]")
LONG = re.compile("a{300}")

WIDE = ("verbs", "patches")
"""Sheets that ask every kind the same: their news would be too many. The verbs of a few kinds are kept whole."""
SAMPLES = ("verbs ConfigMap/", "verbs Deployment/", "verbs Node/")

Told = Any
"""An answer in short: (field, message) of each cause, or code and message of a refusal without causes."""


def told(answer: Any) -> Told:
    """What a comparable answer says; [] when it is no refusal."""
    body = answer["body"]
    if not isinstance(body, dict) or body.get("kind") != "Status" or answer["code"] < 400:
        return []
    causes = body.get("details", {}).get("causes")
    if body.get("reason") != "Invalid" or not causes:
        return LONG.sub("<300>", f"{answer['code']} {body.get('reason', '')}: {body.get('message', '')}")
    return sorted([str(each.get("field", "")), LONG.sub("<300>", str(each.get("message", "")))] for each in causes)


def step(answer: Any) -> Told:
    """What a comparable answer of a story says: a refusal as above, else its code; and what it warns of."""
    body = answer["body"]
    said = told(answer) or " ".join([str(answer["code"]), body.get("kind", "") if isinstance(body, dict) else "text"])
    return [said, *answer["warnings"]] if answer.get("warnings") else said


def is_story(sheet: Sheet) -> bool:
    return sheet.in_order or sheet.name.startswith(SAMPLES)


def _place(kind: str, field: str) -> tuple[str, str]:
    """A field of the metadata or of a pod's template says the same in any kind."""
    field = NUMBERS.sub("", field)
    if "template." in field:
        return "", field.rpartition("template.")[2]
    return ("" if field.startswith("metadata.") else kind, field)


def _news(sheet: Sheet, said: Told) -> set[tuple[str, ...]]:
    if isinstance(said, str):
        return {(sheet.base["kind"], re.sub(r'"[^"]*"|\d+', "", said)[:80])}
    return {(*_place(sheet.base["kind"], field), message.partition(":")[0][:40]) for field, message in said}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cache", default="/tmp/differential")
    parser.add_argument("--without", help="what `python -m tests.differential -o FILE` says is still different")
    options = parser.parse_args()
    folder = Path(options.cache)
    open_ones = json.loads(Path(options.without).read_text()) if options.without else {}
    seen: set[tuple[str, ...]] = set()
    kept: dict[str, dict[str, Told]] = {}
    stories: dict[str, dict[str, Told]] = {}
    for sheet in cases.sheets():
        known = Remembered(folder, sheet)
        if is_story(sheet):
            steps = {case.name: step(comparable(known[case])) for case in sheet.cases if case in known}
            stories[sheet.name] = {n: s for n, s in steps.items() if not explained.why(sheet.name, n)}
            continue
        if sheet.name.startswith(WIDE):
            continue
        differ = {case for names in open_ones.get(sheet.name, {}).values() for case in names}
        for case in sheet.cases:
            said = told(comparable(known[case])) if case in known else []
            if not said or len(json.dumps(said)) > LONGEST or explained.why(sheet.name, case.name):
                continue
            if case.name in differ:
                continue
            new = _news(sheet, said)
            if (isinstance(said, str) or len(said) <= MOST) and not new <= seen:
                seen |= new
                kept.setdefault(sheet.name, {})[case.name] = said
    print(_write(FACTS, kept), _write(STORIES, stories))


def _write(file: Path, kept: dict[str, dict[str, Told]]) -> str:
    lines = [
        f"{json.dumps(sheet)}: {{\n" + ",\n".join(f"{json.dumps(k)}: {json.dumps(v)}" for k, v in found.items()) + "\n}"
        for sheet, found in kept.items()
    ]
    file.write_text("{\n" + ",\n".join([f'"upstream": "kube-apiserver {VERSION}"', *lines]) + "\n}\n")
    return f"{file.name}: {sum(map(len, kept.values()))} cases, {file.stat().st_size} bytes"


if __name__ == "__main__":
    main()
