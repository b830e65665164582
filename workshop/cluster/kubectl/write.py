"""What changes objects: apply (server-side), create, delete, label, scale."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from workshop.api.codec import load_yaml_all
from workshop.api.errors import ApiError, is_not_found
from workshop.api.meta import Obj
from workshop.api.resources import Resource
from workshop.client.rest import APPLY_PATCH, MERGE_PATCH

from .session import Session, UsageError, described

MANAGER = "kubectl"


def manifests(files: Iterable[str]) -> list[Obj]:
    """The objects of files, folders and `-` (stdin); Lists are taken apart."""
    objects: list[Obj] = []
    for name in files:
        if name == "-":
            texts = [sys.stdin.read()]
        else:
            place = Path(name)
            if not place.exists():
                raise UsageError(f'the path "{name}" does not exist')
            paths = (
                sorted(p for p in place.iterdir() if p.suffix in (".yaml", ".yml", ".json"))
                if place.is_dir()
                else [place]
            )
            texts = [p.read_text() for p in paths]
        for text in texts:
            try:
                documents = load_yaml_all(text)
            except ValueError as error:
                raise UsageError(f"error parsing {'STDIN' if name == '-' else name}: {error}") from error
            for document in documents:
                if isinstance(document, dict):
                    objects += document.get("items", []) if document.get("kind") == "List" else [document]
                elif document is not None:
                    raise UsageError(f"error parsing {name}: an object is a mapping, not {type(document).__name__}")
    if not objects:
        raise UsageError("no objects passed to the command")
    return objects


async def apply(s: Session, files: list[str], force: bool, dry_run: bool) -> None:
    """Server-side apply of each object, in the order of the files."""
    for obj in manifests(files):
        kind, name, namespace = await _place(s, obj)
        try:
            before = (await s.client.get(kind, name, namespace))["metadata"]["resourceVersion"]
        except ApiError as error:
            if not is_not_found(error):
                raise
            before = None
        query: dict[str, Any] = {"dryRun": "All"} if dry_run else {}
        after = await s.client.patch(
            kind, name, obj, namespace, type=APPLY_PATCH, field_manager=MANAGER, force=force or None,
            fieldValidation="Strict", **query,
        )  # fmt: skip
        same = before == after["metadata"]["resourceVersion"]
        verb = "created" if before is None else "unchanged" if same else "configured"
        s.say(f"{described(kind, name)} {verb}{' (server dry run)' if dry_run else ''}")


async def create(s: Session, objects: list[Obj], dry_run: bool) -> None:
    for obj in objects:
        kind = await s.for_object(obj)
        query: dict[str, Any] = {"dryRun": "All"} if dry_run else {}
        namespace = _namespace(s, kind, obj)
        made = await s.client.create(
            kind, obj, namespace, fieldManager=f"{MANAGER}-create", fieldValidation="Strict", **query
        )
        s.say(f"{described(kind, made['metadata']['name'])} created{' (server dry run)' if dry_run else ''}")


def deployment(name: str, images: list[str], replicas: int, port: int | None, command: list[str]) -> Obj:
    """What `create deployment` makes, as the stock one does."""
    containers: list[Obj] = []
    for image in images:
        container: Obj = {"name": image.rpartition("/")[2].partition(":")[0].partition("@")[0], "image": image}
        if port is not None:
            container["ports"] = [{"containerPort": port}]
        if command:
            container["command"] = command
        containers.append(container)
    labels = {"app": name}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name, "labels": labels},
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": labels},
            "template": {"metadata": {"labels": labels}, "spec": {"containers": containers}},
        },
    }


def pod(name: str, image: str, port: int | None, command: list[str]) -> Obj:
    """What `run` makes, as the stock one does."""
    container: Obj = {"name": name, "image": image}
    if port is not None:
        container["ports"] = [{"containerPort": port}]
    if command:
        container["args"] = command
    metadata = {"name": name, "labels": {"run": name}}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": {"containers": [container]}}


async def expose(s: Session, words: list[str], name: str | None, port: int, target: int | None) -> None:
    """A Service in front of what a workload's selector chooses."""
    for kind, of in await s.targets(words):
        if of is None:
            raise UsageError("resource(s) were provided, but no name was specified")
        owner = await s.client.get(kind, of, s.within(kind))
        selector = (owner["spec"].get("selector") or {}).get("matchLabels")
        if not selector:
            raise UsageError(f"cannot expose a {kind.kind}: it has no selector of labels")
        spec = {"selector": selector, "ports": [{"port": port, "targetPort": target or port, "protocol": "TCP"}]}
        own = name or of
        metadata = {"name": own, "labels": owner["metadata"].get("labels") or {}}
        service: Obj = {"apiVersion": "v1", "kind": "Service", "metadata": metadata, "spec": spec}
        made = await s.for_object(service)
        await s.client.create(made, service, s.within(made), fieldManager=f"{MANAGER}-expose")
        s.say(f"{described(made, own)} exposed")


async def delete(
    s: Session,
    words: list[str],
    files: list[str],
    labels: str | None,
    grace: int | None,
    wait: bool,
    quiet_missing: bool,
) -> None:
    """Delete and, with `wait`, stay until each object is gone: one watch an object, opened before the deletion."""
    targets: list[tuple[Resource, str, str | None]] = []
    if files:
        targets = [await _place(s, obj) for obj in manifests(files)]
    else:
        for kind, name in await s.targets(words):
            if name is not None:
                targets.append((kind, name, s.within(kind)))
            elif labels is not None:
                found = await s.client.list(kind, s.within(kind), label_selector=labels)
                targets += [(kind, o["metadata"]["name"], o["metadata"].get("namespace")) for o in found["items"]]
            else:
                raise UsageError("resource(s) were provided, but no name was specified")
    gone = []
    for kind, name, namespace in targets:
        try:
            obj = await s.client.get(kind, name, namespace)
            await s.client.delete(kind, name, namespace, grace_period_seconds=grace, propagation_policy="Background")
        except ApiError as error:
            if quiet_missing and is_not_found(error):
                continue
            raise
        of = f" from {namespace} namespace" if namespace else ""
        s.say(f'{described(kind, "").rstrip("/")} "{name}" deleted{of}')
        gone.append(_until_gone(s, kind, obj))
    if wait:
        await asyncio.gather(*gone)
    else:
        for one in gone:
            one.close()


async def _until_gone(s: Session, kind: Resource, obj: Obj) -> None:
    metadata = obj["metadata"]
    watch = s.client.watch(
        kind,
        metadata.get("namespace"),
        resource_version=metadata["resourceVersion"],
        field_selector=f"metadata.name={metadata['name']}",
    )
    async with watch:
        async for event, now in watch:
            if event == "DELETED" and now["metadata"]["uid"] == metadata["uid"]:
                return


async def label(s: Session, words: list[str], pairs: list[str], overwrite: bool, field: str = "labels") -> None:
    """`key=value` sets, `key-` removes; an existing other value needs --overwrite."""
    wanted: dict[str, str | None] = {}
    for pair in pairs:
        if pair.endswith("-"):
            wanted[pair[:-1]] = None
        else:
            key, _, value = pair.partition("=")
            wanted[key] = value
    for kind, name in await s.targets(words):
        if name is None:
            raise UsageError("resource(s) were provided, but no name was specified")
        obj = await s.client.get(kind, name, s.within(kind))
        there = obj["metadata"].get(field) or {}
        for key, given in wanted.items():
            if given is not None and key in there and there[key] != given and not overwrite:
                raise UsageError(f"'{key}' already has a value ({there[key]}), and --overwrite is false")
        await s.client.patch(
            kind,
            name,
            {"metadata": {field: wanted}},
            s.within(kind),
            type=MERGE_PATCH,
            field_manager=f"{MANAGER}-label",
        )
        done = "annotated" if field == "annotations" else "labeled" if any(wanted.values()) else "unlabeled"
        s.say(f"{described(kind, name)} {done}")


async def scale(s: Session, words: list[str], replicas: int) -> None:
    for kind, name in await s.targets(words):
        if name is None:
            raise UsageError("resource(s) were provided, but no name was specified")
        body = {"spec": {"replicas": replicas}}
        await s.client.patch(kind, name, body, s.within(kind), type=MERGE_PATCH, subresource="scale")
        s.say(f"{described(kind, name)} scaled")


async def _place(s: Session, obj: Obj) -> tuple[Resource, str, str | None]:
    kind = await s.for_object(obj)
    name = (obj.get("metadata") or {}).get("name")
    if not name:
        raise UsageError("resource name may not be empty")
    return kind, name, _namespace(s, kind, obj)


def _namespace(s: Session, kind: Resource, obj: Obj) -> str | None:
    if not kind.namespaced:
        return None
    own = (obj.get("metadata") or {}).get("namespace")
    return own or s.namespace or "default"
