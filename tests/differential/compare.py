"""What is different between two answers, one line each."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

LONGEST = 600


def difference(real: Any, ours: Any) -> list[str]:
    """Of two `comparable` answers."""
    if real["code"] != ours["code"]:
        return [f"code {real['code']} != {ours['code']}: real {_said(real)} | ours {_said(ours)}"]
    found = []
    if real["headers"] and real["headers"] != ours["headers"]:
        found.append(f"headers: real {real['headers']} | ours {ours['headers']}")
    if real["warnings"] != ours["warnings"]:
        found.append(f"warnings: real {real['warnings']} | ours {ours['warnings']}")
    return [*found, *_walk(real["body"], ours["body"], "")]


def _said(answer: Any) -> str:
    body = answer["body"]
    if isinstance(body, dict) and body.get("kind") == "Status":
        causes = body.get("details", {}).get("causes")
        return str(_sentences(causes)) if causes and body.get("reason") == "Invalid" else str(body.get("message"))
    return "accepted" if isinstance(body, dict) else str(body)[:80]


def _sentences(causes: list[dict[str, str]]) -> list[str]:
    return [f"{c.get('field')}: {c.get('message')} ({c.get('reason', '')[10:]})" for c in causes]


def _walk(real: Any, ours: Any, path: str) -> Iterator[str]:
    if real == ours:
        return
    if isinstance(real, dict) and isinstance(ours, dict):
        if path == ".details" and real.get("causes") != ours.get("causes"):
            yield from _causes(_sentences(real.get("causes", [])), _sentences(ours.get("causes", [])))
            return
        for key in {**real, **ours}:
            yield from _walk(real.get(key), ours.get(key), f"{path}.{key}")
    elif isinstance(real, list) and isinstance(ours, list) and len(real) == len(ours):
        for index, (a, b) in enumerate(zip(real, ours, strict=True)):
            yield from _walk(a, b, f"{path}[{index}]")
    else:
        yield f"{path}: real {json.dumps(real)[:LONGEST]} | ours {json.dumps(ours)[:LONGEST]}"


def _causes(real: list[str], ours: list[str]) -> Iterator[str]:
    yield from (f"MISSING {each}" for each in real if each not in ours)
    yield from (f"EXTRA {each}" for each in ours if each not in real)
    if sorted(real) != sorted(ours) and set(real) == set(ours):
        yield f"COUNT {[each for each in real if real.count(each) != ours.count(each)]}"
