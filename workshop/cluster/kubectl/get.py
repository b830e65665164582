"""get: the server's Table as it came, or the objects as JSON, YAML or names."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator
from typing import Any

import msgspec

from workshop.api.meta import Obj
from workshop.api.resources import Resource
from workshop.client.watch import Lines

from .session import Session, UsageError, described

TABLE = {"Accept": "application/json;as=Table;v=v1;g=meta.k8s.io,application/json"}


async def get(
    s: Session,
    words: list[str],
    output: str,
    labels: str | None = None,
    fields: str | None = None,
    watch: bool = False,
    headers: bool = True,
    managed: bool = False,
) -> None:
    """Print what the words name. `output` is "", wide, json, yaml, name or jsonpath=…"""
    targets = await s.targets(words)
    if watch and len(targets) > 1:
        raise UsageError("you may only specify a single resource type")
    if output in ("", "wide"):
        await _tables(s, targets, output == "wide", labels, fields, watch, headers)
        return
    found: list[Obj] = []
    for resource, name in targets:
        if name is not None:
            found.append(await s.client.get(resource, name, s.within(resource)))
        else:
            listed = await s.client.list(resource, s.within(resource), label_selector=labels, field_selector=fields)
            found.extend(listed["items"])
    if not managed:  # who wrote which field is long, and shown on request alone
        found = [
            {**obj, "metadata": {k: v for k, v in obj["metadata"].items() if k != "managedFields"}} for obj in found
        ]
    one = len(targets) == 1 and targets[0][1] is not None
    whole = (
        found[0] if one else {"apiVersion": "v1", "kind": "List", "metadata": {"resourceVersion": ""}, "items": found}
    )
    if output == "name":
        for obj in found:
            s.say(described(await s.for_object(obj), obj["metadata"]["name"]))
    elif output == "json":
        s.say(msgspec.json.format(msgspec.json.encode(whole), indent=4).decode())
    elif output == "yaml":
        s.out.write(to_yaml(whole))
    elif output.startswith("jsonpath="):
        s.out.write(" ".join(_text(value) for value in path(whole, output.removeprefix("jsonpath="))))
    else:
        raise UsageError(
            f'unable to match a printer suitable for the output format "{output}", '
            "allowed formats are: json,jsonpath,name,wide,yaml"
        )


async def _tables(
    s: Session,
    targets: list[tuple[Resource, str | None]],
    wide: bool,
    labels: str | None,
    fields: str | None,
    watch: bool,
    headers: bool,
) -> None:
    several = len({resource.group_resource for resource, _ in targets}) > 1
    printed = False
    for resource, name in targets:
        selector = f"metadata.name={name}" if name and watch else fields
        query: dict[str, Any] = {"labelSelector": labels, "fieldSelector": selector, "limit": 500}
        target = resource.path(s.within(resource), None if watch else name)
        table = await s.client.request("GET", target, query=None if name and not watch else query, headers=TABLE)
        pages = [table]
        while token := pages[-1]["metadata"].get("continue"):
            pages.append(await s.client.request("GET", target, query={**query, "continue": token}, headers=TABLE))
        rows = [row for page in pages for row in page["rows"] or []]
        if rows or watch:
            if printed and several:
                s.say("")
            columns = _Columns(table["columnDefinitions"], wide, s.namespace is None and resource.namespaced)
            prefix = described(resource, "") if several else ""
            s.out.write(columns.render(rows, headers, prefix))
            s.out.flush()
            printed = True
        if watch:
            version = pages[-1]["metadata"]["resourceVersion"]
            async for row in _changes(s, resource, {**query, "limit": None, "resourceVersion": version}):
                s.out.write(columns.render([row], False, ""))
                s.out.flush()
    if not printed and headers:
        everywhere = s.namespace is None or not targets[0][0].namespaced
        sys.stderr.write("No resources found\n" if everywhere else f"No resources found in {s.namespace} namespace.\n")


async def _changes(s: Session, resource: Resource, query: dict[str, Any]) -> AsyncIterator[Obj]:
    """Rows of a Table watch, from the version of the list on: nothing between the two is lost."""
    response = await s.client.stream(
        "GET", resource.path(s.within(resource)), query={**query, "watch": True}, headers=TABLE
    )
    lines = Lines()
    try:
        async for chunk in response.chunks():
            for line in lines.feed(chunk):
                event = msgspec.json.decode(line)
                if event["type"] == "ERROR":
                    raise UsageError(event["object"].get("message", "the watch ended with an error"))
                for row in event["object"].get("rows") or []:
                    yield row
    finally:
        response.close()


class _Columns:
    """Chooses and aligns columns; widths only grow, so that a watch's lines stay under their headings."""

    def __init__(self, definitions: list[Obj], wide: bool, namespaces: bool) -> None:
        self._chosen = [i for i, d in enumerate(definitions) if wide or not d.get("priority")]
        self._namespaces = namespaces
        titles = [definitions[i]["name"].upper() for i in self._chosen]
        self._titles = ["NAMESPACE", *titles] if namespaces else titles
        self._widths = [0] * len(self._titles)

    def render(self, rows: list[Obj], headers: bool, prefix: str) -> str:
        lines = [self._titles] if headers else []
        for row in rows:
            cells = [_text(row["cells"][i]) for i in self._chosen]
            cells[0] = prefix + cells[0]
            lines.append([row["object"]["metadata"].get("namespace", ""), *cells] if self._namespaces else cells)
        for line in lines:
            self._widths = [max(width, len(cell) + 3) for width, cell in zip(self._widths, line, strict=True)]
        return "".join(
            "".join(cell.ljust(w) for cell, w in zip(line, self._widths, strict=True)).rstrip() + "\n" for line in lines
        )


def _text(value: Any) -> str:
    if value is None:
        return "<none>"
    if isinstance(value, bool):
        return str(value).lower()
    return (
        value
        if isinstance(value, str | int | float) and str(value) == value
        else (msgspec.json.encode(value).decode() if isinstance(value, dict | list) else str(value))
    )


def path(value: Any, text: str) -> list[Any]:
    """The values at a simple jsonpath: `{.status.phase}`, `{.items[*].metadata.name}`, `{.spec.ports[0].port}`.

    Raises UsageError for anything deeper (filters, functions): the stock kubectl knows them.
    """
    text = text.strip()
    if text.startswith("{") and text.endswith("}"):
        text = text[1:-1]
    found = [value]
    for part in text.replace("[", ".[").replace("\\.", "\0").split("."):
        part = part.replace("\0", ".")
        if not part:
            continue
        if part == "[*]":
            found = [one for many in found if isinstance(many, list) for one in many]
        elif part.startswith("["):
            index = part[1:-1]
            if not index.lstrip("-").isdigit():
                raise UsageError(f"this kubectl reads only simple paths, not {part!r}")
            found = [many[int(index)] for many in found if isinstance(many, list) and int(index) < len(many)]
        else:
            found = [one[part] for one in found if isinstance(one, dict) and part in one]
    return found


def to_yaml(obj: Any) -> str:
    """YAML in the order of keys that kubectl prints: alphabetical."""
    import yaml

    return str(yaml.safe_dump(obj, default_flow_style=False, sort_keys=True, allow_unicode=True, width=10**6))
