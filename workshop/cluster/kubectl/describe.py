"""describe: an object in outline, then the events about it."""

from __future__ import annotations

from typing import Any

from workshop.api.meta import Obj
from workshop.api.resources import resource
from workshop.clock import SYSTEM, parse_rfc3339

from .session import Session


async def describe(s: Session, words: list[str], labels: str | None = None) -> None:
    """Print name, labels, spec and status indented, and the object's events with their ages."""
    first = True
    for kind, name in await s.targets(words):
        found = [] if name else (await s.client.list(kind, s.within(kind), label_selector=labels))["items"]
        for one in [name] if name else [obj["metadata"]["name"] for obj in found]:
            obj = await s.client.get(kind, one, s.within(kind))
            about = f"involvedObject.name={one},involvedObject.uid={obj['metadata']['uid']}"
            events = await s.client.list(resource("events"), obj["metadata"].get("namespace"), field_selector=about)
            if not first:
                s.say("\n")
            s.out.write(outline(obj, events["items"], SYSTEM.now()))
            first = False


def outline(obj: Obj, events: list[Obj], now: float) -> str:
    """The text that `describe` prints. `now` is in seconds since 1970, for the ages."""
    metadata = obj["metadata"]
    lines = [f"Name:         {metadata['name']}"]
    if "namespace" in metadata:
        lines.append(f"Namespace:    {metadata['namespace']}")
    for title, field in (("Labels:", "labels"), ("Annotations:", "annotations")):
        pairs = [f"{k}={v}" for k, v in sorted((metadata.get(field) or {}).items())] or ["<none>"]
        lines += [f"{title if not i else '':<14}{pair}" for i, pair in enumerate(pairs)]
    for owner in metadata.get("ownerReferences", ()):
        if owner.get("controller"):
            lines.append(f"Controlled By:  {owner['kind']}/{owner['name']}")
    for field, value in obj.items():
        if field not in ("apiVersion", "kind", "metadata"):
            lines += [f"{_title(field)}:", *_indented(value, 2)]
    lines.append("Events:" if events else "Events:       <none>")
    if events:
        lines.append(f"  {'Type':<9}{'Reason':<22}{'Age':<8}{'From':<26}Message")
    for event in events:
        age = _age(
            now - parse_rfc3339(event.get("lastTimestamp") or event.get("eventTime") or metadata["creationTimestamp"])
        )
        source = (event.get("source") or {}).get("component") or event.get("reportingComponent", "")
        lines.append(
            f"  {event.get('type', ''):<9}{event.get('reason', ''):<22}{age:<8}{source:<26}{event.get('message', '')}"
        )
    return "\n".join(lines) + "\n"


def _title(field: str) -> str:
    return field[:1].upper() + field[1:]


def _indented(value: Any, depth: int) -> list[str]:
    pad = " " * depth
    if isinstance(value, dict):
        lines = []
        for key, inner in value.items():
            if isinstance(inner, dict | list) and inner:
                lines += [f"{pad}{_title(key)}:", *_indented(inner, depth + 2)]
            else:
                lines.append(f"{pad}{_title(key)}:  {inner}")
        return lines
    if isinstance(value, list):
        lines = []
        for inner in value:
            block = _indented(inner, depth + 2)
            lines += [f"{pad}- {block[0].lstrip()}", *block[1:]] if block else [f"{pad}-"]
        return lines
    return [f"{pad}{value}"]


def _age(seconds: float) -> str:
    for size, unit in ((86400, "d"), (3600, "h"), (60, "m")):
        if seconds >= 2 * size:
            return f"{int(seconds // size)}{unit}"
    return f"{max(0, int(seconds))}s"
