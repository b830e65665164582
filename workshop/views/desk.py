"""What a front end may ask, and what it is answered. The same for a widget and for a page.

    {"ask": "whole"}                 the whole picture; and: I am here, send me batches
    {"ask": "here"}                  I still look
    {"ask": "bye"}                   I look no more
    {"ask": "inspect", "key": K}     YAML, owners, the writes that made it
    {"ask": "trace", "key": K}       the swim lanes
    {"ask": "history"}               what there was before the board was attached

There is nothing to ask that changes anything.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import yaml

from workshop.api.errors import ApiError
from workshop.api.meta import Obj
from workshop.client.transport import Unreachable

from . import causes, history
from .feed import Feed, Message, Send
from .kinds import KINDS
from .rows import body


def answer(feed: Feed, view: str, question: Any, send: Send) -> None:
    """Answer one question of the view `view` by `send`, from any thread; what takes time is done on the feed's loop."""
    if not isinstance(question, dict):
        return
    ask = question.get("ask")
    if ask == "bye":
        feed.leave(view)
        return
    if ask in ("whole", "here"):
        feed.listen(view, send)
        if ask == "whole":
            send(feed.whole())
        return
    key = question.get("key")
    if ask == "trace" and isinstance(key, str):
        send({"trace": causes.diagram(feed.journal, key)})
    elif ask == "inspect" and isinstance(key, str):
        feed.spawn(_guarded(lambda: inspect(feed, key), "inspect", key, send))
    elif ask == "history":
        feed.spawn(_guarded(lambda: _history(feed), "history", None, send))


async def _guarded(work: Callable[[], Any], name: str, key: str | None, send: Send) -> None:
    """A question that cannot be answered is answered with the reason."""
    try:
        send({name: await work()})
    except (ApiError, Unreachable, KeyError) as error:
        send({name: {"key": key, "problem": str(error)}})


async def _history(feed: Feed) -> Message:
    if feed.client is None or not feed.synced:
        return {"problem": "the API server has not answered yet"}
    readable = [kind for kind in KINDS if kind not in feed.blind]
    return await history.before(feed.client, readable, feed.attached_version)


async def inspect(feed: Feed, key: str) -> Message:
    """Everything about one object, or one process. Raises ApiError, Unreachable."""
    kind = key.split("/", 1)[0]
    writes = causes.history(feed.journal, key)
    owners = feed.model.graph.owners(key)[::-1]
    below = sorted(feed.model.graph.targets("owns", key))
    answer: Message = {"key": key, "owners": owners, "owned": below, "writes": writes, "yaml": ""}
    if kind == "Process":
        return {**answer, "yaml": _process(feed, key)}
    obj = feed.model.objects.get(key)
    if obj is None:
        return {**answer, "problem": "it is gone; scrub back to see its row"}
    answer["yaml"] = as_yaml(obj)
    answer["managers"] = managers(obj)
    return answer


def as_yaml(obj: Obj) -> str:
    """As `kubectl get -o yaml` prints it."""
    shown = body(obj)
    return yaml.dump(shown, sort_keys=False, default_flow_style=False, allow_unicode=True, width=100)


def managers(obj: Obj) -> list[dict[str, str]]:
    """Who has written which part last, as the object itself says: known on any cluster."""
    return [
        {
            "manager": str(entry.get("manager", "")),
            "operation": str(entry.get("operation", "")),
            "subresource": str(entry.get("subresource", "")),
            "time": str(entry.get("time", "")),
        }
        for entry in obj["metadata"].get("managedFields") or []
    ]


def _process(feed: Feed, key: str) -> str:
    """What is known of a process: its row, its command line, and what it tells of itself in the log."""
    row = dict(feed.model.rows.get(key) or {})
    if feed.cluster is None or not row:
        return ""
    shown = {k: v for k, v in row.items() if k not in ("type", "kind", "namespace", "box") and v is not None}
    plan = feed.cluster.plan_or_none()
    component = plan.component(row["name"]) if plan is not None else None
    if component is not None:
        shown["command"] = list(component.argv)
    path = feed.cluster.layout.log(row["name"])
    if path.exists():
        with open(path, "rb") as file:
            file.seek(max(0, path.stat().st_size - 4000))
            shown["log"] = file.read().decode(errors="replace").splitlines()[-12:]
    return yaml.dump(shown, sort_keys=False, default_flow_style=False, allow_unicode=True, width=100)
