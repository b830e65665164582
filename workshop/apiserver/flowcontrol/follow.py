"""Keep a server's levels as the store says, and tell each FlowSchema whether its level exists.

Upstream: `util/flowcontrol/apf_controller.go`, digestConfigObjects and presyncFlowSchemaStatus.
"""

from __future__ import annotations

import asyncio

from workshop.api.meta import Obj
from workshop.api.resources import resource
from workshop.apiserver.cached import Cache, CachedContext, feed
from workshop.clock import Clock, rfc3339

from .control import Control

SCHEMAS = resource("flowschemas.flowcontrol.apiserver.k8s.io")
LEVELS = resource("prioritylevelconfigurations.flowcontrol.apiserver.k8s.io")


async def follow(control: Control, cache: Cache, context: CachedContext, clock: Clock) -> None:
    """For ever."""
    schemas: dict[str, Obj] = {}
    told: set[str] = set()
    changed = asyncio.Event()

    def put(plural: str, obj: Obj) -> None:
        control.put(plural, obj)
        if plural == SCHEMAS.plural:
            schemas[obj["metadata"]["name"]] = obj
        changed.set()

    def remove(plural: str, obj: Obj) -> None:
        control.remove(plural, obj)
        if plural == SCHEMAS.plural:
            schemas.pop(obj["metadata"]["name"], None)
        changed.set()

    async def conditions() -> None:
        while True:
            await changed.wait()
            changed.clear()
            if told < {SCHEMAS.plural, LEVELS.plural}:
                continue
            for obj in list(schemas.values()):
                better = with_condition(obj, control.has_level(level_of(obj)), rfc3339(clock.now()))
                if better is not None:
                    await context.update_status(
                        SCHEMAS, better
                    )  # False: somebody wrote it; that comes back as a change

    def seen(plural: str) -> None:
        told.add(plural)
        changed.set()

    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(feed(cache, LEVELS, put, remove, seen))
        tasks.create_task(feed(cache, SCHEMAS, put, remove, seen))
        tasks.create_task(conditions())


def level_of(schema: Obj) -> str:
    name: str = schema["spec"]["priorityLevelConfiguration"]["name"]
    return name


def with_condition(schema: Obj, found: bool, now: str) -> Obj | None:
    """The schema with its condition `Dangling` put right, or None if it is right."""
    head = f'This FlowSchema references the PriorityLevelConfiguration object named "{level_of(schema)}"'
    wanted = {
        "type": "Dangling",
        "status": "False" if found else "True",
        "reason": "Found" if found else "NotFound",
        "message": f"{head} and it exists" if found else f"{head} but there is no such object",
    }
    conditions = (schema.get("status") or {}).get("conditions") or []
    old: Obj = next((c for c in conditions if c["type"] == "Dangling"), {})
    if {key: old.get(key) for key in wanted} == wanted:
        return None
    others = [c for c in conditions if c["type"] != "Dangling"]
    return {**schema, "status": {"conditions": [*others, {**wanted, "lastTransitionTime": now}]}}
