"""python -m tests.differential.keep: of the real server's answers that are remembered, the ones that say something new
go to tests/apiserver/real/refusals.json, where CI compares them with ours. Only creations: they need no state."""

from __future__ import annotations

import argparse
import hashlib
import json
import pickle
import re
from pathlib import Path
from typing import Any

from . import cases
from .servers import Answer, comparable

FACTS = Path(__file__).parents[1] / "apiserver" / "real" / "refusals.json"
VERSION = "v1.36.2"
MOST = 2
"""Causes of an answer that is kept: those with more say nothing new."""
NUMBERS = re.compile(r"\[\d+\]")


def causes(body: Any) -> list[list[str]]:
    """(field, message) of each cause, sorted."""
    found = body.get("details", {}).get("causes", []) if isinstance(body, dict) else []
    return sorted([str(each.get("field", "")), str(each.get("message", ""))] for each in found)


def _place(kind: str, field: str) -> tuple[str, str]:
    """A field of the metadata or of a pod's template says the same in any kind."""
    field = NUMBERS.sub("", field)
    if "template." in field:
        return "", field.rpartition("template.")[2]
    return ("" if field.startswith("metadata.") else kind, field)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cache", default="/tmp/differential")
    known: dict[str, Answer] = pickle.loads((Path(parser.parse_args().cache) / "answers.pickle").read_bytes())
    seen: set[tuple[str, ...]] = set()
    kept: dict[str, dict[str, Any]] = {}
    for base in cases.bases():
        name = cases.name_of(base)
        for case in cases.creations(base):
            answer = known.get(hashlib.sha256(repr((f"{name} False", case)).encode()).hexdigest())
            if answer is None or answer.code != 422:
                continue
            told = causes(comparable(answer)["body"])
            new = {(*_place(base["kind"], field), message.partition(":")[0][:40]) for field, message in told}
            if new and not new <= seen and len(told) <= MOST and sum(len(message) for _, message in told) < 400:
                seen |= new
                kept.setdefault(name, {})[case.name] = told
    FACTS.parent.mkdir(exist_ok=True)
    lines = [
        f"{json.dumps(base)}: {{\n" + ",\n".join(f"{json.dumps(k)}: {json.dumps(v)}" for k, v in found.items()) + "\n}"
        for base, found in kept.items()
    ]
    head = f'"upstream": "kube-apiserver {VERSION}"'
    FACTS.write_text("{\n" + ",\n".join([head, *lines]) + "\n}\n")
    print(sum(map(len, kept.values())), "cases", FACTS.stat().st_size, "bytes")


if __name__ == "__main__":
    main()
