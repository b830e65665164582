"""wait and rollout status: read the object once, then watch it; a time limit bounds both."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from workshop.api import fields
from workshop.api.errors import ApiError, is_not_found
from workshop.api.meta import Obj
from workshop.api.resources import Resource

from .get import path
from .session import Session, UsageError, described

Verdict = Callable[[Obj | None], bool]


async def until(s: Session, kind: Resource, name: str, done: Verdict) -> None:
    """Return when `done(object)` is true; None stands for an object that is not there."""
    selector = f"metadata.name={fields.escape(name)}"
    while True:
        listed = await s.client.list(kind, s.within(kind), field_selector=selector)
        if done(listed["items"][0] if listed["items"] else None):
            return
        version = listed["metadata"]["resourceVersion"]
        try:
            async with s.client.watch(
                kind, s.within(kind), resource_version=version, field_selector=selector, bookmarks=False
            ) as watch:
                async for event, obj in watch:
                    if done(None if event == "DELETED" else obj):
                        return
        except ApiError as error:
            if error.code != 410:
                raise


def condition(text: str) -> Verdict:
    """`--for=`: `condition=Ready`, `condition=Ready=false`, `delete`, `create`, `jsonpath={.status.phase}=Running`."""
    what, _, rest = text.partition("=")
    if text == "delete":
        return lambda obj: obj is None
    if text == "create":
        return lambda obj: obj is not None
    if what == "condition" and rest:
        kind, _, wanted = rest.partition("=")

        def met(obj: Obj | None) -> bool:
            conditions = (obj or {}).get("status", {}).get("conditions") or []
            return any(
                c["type"].lower() == kind.lower() and c["status"].lower() == (wanted or "true").lower()
                for c in conditions
            )

        return met
    if what == "jsonpath" and rest:
        expression, equals, value = rest.rpartition("}=") if "}=" in rest else (rest.rstrip("}"), "", "")

        def found(obj: Obj | None) -> bool:
            values = path(obj or {}, expression.lstrip("{"))
            return [str(v) for v in values] == [value] if equals else bool(values)

        return found
    raise UsageError(f'unrecognized condition: "{text}"')


async def wait(s: Session, words: list[str], text: str, timeout: float, every: bool = False) -> None:
    """Wait for each of them in turn; with `every`, for all that there are of a kind."""
    done = condition(text)
    targets: list[tuple[Resource, str]] = []
    for kind, name in await s.targets(words):
        if name is None and not every:
            raise UsageError("arguments in resource/name form must be given")
        found = (await s.client.list(kind, s.within(kind)))["items"] if name is None else []
        targets += [(kind, name)] if name is not None else [(kind, one["metadata"]["name"]) for one in found]
    for kind, name in targets:
        if text not in ("delete", "create"):
            await s.client.get(kind, name, s.within(kind))
        try:
            await asyncio.wait_for(until(s, kind, name, done), timeout)
        except TimeoutError:
            raise UsageError(f"timed out waiting for the condition on {kind.plural}/{name}") from None
        s.say(f"{described(kind, name)} condition met")


async def rollout_status(s: Session, words: list[str], timeout: float | None) -> None:
    """Print each step of a rollout until it is complete. Upstream: kubectl/pkg/polymorphichelpers/rollout_status.go"""
    for kind, name in await s.targets(words):
        if name is None:
            raise UsageError("required resource not specified")
        told: list[str] = []

        def done(obj: Obj | None, kind: Resource = kind, name: str = name, told: list[str] = told) -> bool:
            if obj is None:
                raise UsageError("object has been deleted")
            message, complete = progress(kind.kind, name, obj)
            if told[-1:] != [message]:
                told.append(message)
                s.say(message)
            return complete

        try:
            await s.client.get(kind, name, s.within(kind))
            await asyncio.wait_for(until(s, kind, name, done), timeout)
        except TimeoutError:
            raise UsageError("timed out waiting for the condition") from None
        except ApiError as error:
            if is_not_found(error):
                raise
            raise


def progress(kind: str, name: str, obj: Obj) -> tuple[str, bool]:
    """What `rollout status` says of an object, and whether that is the end."""
    spec, status = obj["spec"], obj.get("status", {})
    if kind not in ("Deployment", "DaemonSet", "StatefulSet"):
        raise UsageError(f"no status viewer has been implemented for {kind}")
    if obj["metadata"].get("generation", 0) > status.get("observedGeneration", 0):
        return (
            f"Waiting for {kind.lower() if kind != 'DaemonSet' else 'daemon set'} spec update to be observed...",
            False,
        )
    updated = status.get("updatedReplicas", 0)
    if kind == "Deployment":
        for one in status.get("conditions", ()):
            if one["type"] == "Progressing" and one.get("reason") == "ProgressDeadlineExceeded":
                raise UsageError(f'deployment "{name}" exceeded its progress deadline')
        wanted, total, available = (
            spec.get("replicas", 1),
            status.get("replicas", 0),
            status.get("availableReplicas", 0),
        )
        head = f'Waiting for deployment "{name}" rollout to finish: '
        if updated < wanted:
            return f"{head}{updated} out of {wanted} new replicas have been updated...", False
        if total > updated:
            return f"{head}{total - updated} old replicas are pending termination...", False
        if available < updated:
            return f"{head}{available} of {updated} updated replicas are available...", False
        return f'deployment "{name}" successfully rolled out', True
    if kind == "DaemonSet":
        wanted, scheduled = status.get("desiredNumberScheduled", 0), status.get("updatedNumberScheduled", 0)
        head = f'Waiting for daemon set "{name}" rollout to finish: '
        if scheduled < wanted:
            return f"{head}{scheduled} out of {wanted} new pods have been updated...", False
        if status.get("numberAvailable", 0) < wanted:
            return f"{head}{status.get('numberAvailable', 0)} of {wanted} updated pods are available...", False
        return f'daemon set "{name}" successfully rolled out', True
    wanted, ready = spec.get("replicas", 1), status.get("readyReplicas", 0)
    if ready < wanted:
        return f"Waiting for {wanted - ready} pods to be ready...", False
    if status.get("updateRevision") != status.get("currentRevision"):
        return (
            f"waiting for statefulset rolling update to complete {updated} pods "
            f"at revision {status['updateRevision']}...",
            False,
        )
    current = status.get("currentReplicas", 0)
    return f"statefulset rolling update complete {current} pods at revision {status.get('currentRevision')}...", True
