"""Stories that need more than one object, or more than one step: scenarios.yaml. Each has

    name, base     the object that it is about, made first; or the name of one of bases.yaml
    more           steps that make the rest of the state
    asks           a step a case; what is no dry run leaves its trace for the next

A step is {POST: path, body: …, type: …, headers: {…}}; a path without a leading slash is one of the namespace `default`,
a body that is no text is sent as JSON."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from .cases import Case, Obj, Sheet, setup

METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE", "HEAD")


def sheets(known: dict[str, Obj]) -> Iterator[Sheet]:
    text = (Path(__file__).parent / "scenarios.yaml").read_text()
    for story in yaml.load(text, getattr(yaml, "CSafeLoader", yaml.SafeLoader)):
        more = tuple(step("more", each) for each in story.get("more", ()))
        made = tuple(each["body"] for each in story.get("more", ()) if "POST" in each and "metadata" in each["body"])
        cases = iter([step(name, each) for name, each in story["asks"].items()])
        base: Obj = known[story["base"]] if isinstance(story["base"], str) else story["base"]
        yield Sheet(f"story {story['name']}", base, cases, (setup(base), *more), made, in_order=True)


def step(name: str, told: dict[str, Any]) -> Case:
    method = next(each for each in METHODS if each in told)
    body = told.get("body")
    raw = b"" if body is None else body.encode() if isinstance(body, str) else json.dumps(body).encode()
    headers = tuple((told.get("headers") or {}).items())
    path = told[method] if told[method].startswith("/") else f"/api/v1/namespaces/default/{told[method]}"
    return Case(name, method, path, raw, told.get("type", "application/json"), headers)
