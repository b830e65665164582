"""Server-side apply: merge a configuration into the live object by who manages what.

- What the configuration says comes into the object, and its applier manages it.
- A field that another manager holds with another value is a conflict: 409, or taken over with `force`.
- What the applier managed before and leaves out now goes, unless somebody else manages it too.

Upstream: `structured-merge-diff/v6/merge/update.go`, `apimachinery/pkg/util/managedfields/internal`.
"""

from __future__ import annotations

from typing import Any

from workshop.api import codec, errors, meta
from workshop.api.meta import Obj
from workshop.api.patch import fieldset, walk
from workshop.api.patch import managed_fields as mf
from workshop.api.patch.fieldset import EMPTY, Trie
from workshop.api.patch.managed_fields import Entry, Managed, Manager, Types
from workshop.api.patch.resets import Filter, nothing
from workshop.api.patch.strategic import go_text, go_type
from workshop.api.patch.typed import Node
from workshop.clock import rfc3339

LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"
Conflict = tuple[Manager, Entry, tuple[str, ...]]


def apply(
    live: Obj | None,
    applied: Obj,
    manager: str,
    force: bool,
    schema: Types,
    now: float,
    subresource: str = "",
    reset: Filter = nothing,
) -> Obj:
    """Server-side apply. The object to store, managedFields included; equal to `live` where the apply changes nothing.

    `live` is None when there is no object of that name yet. `applied` has the apiVersion and kind of `live`. Defaults
    are for the caller to fill in. Raises ApiError: 400 for a bad request, 409 with a cause a conflict, 500 for what
    does not fit the type.
    """
    if "managedFields" in meta.metadata(applied) and meta.metadata(applied)["managedFields"] is not None:
        raise errors.bad_request("metadata.managedFields must be nil")
    node = mf.root_of(schema)
    check(applied, node)
    version = applied.get("apiVersion") or ""
    try:
        managed = mf.decode(meta.metadata(live or {}).get("managedFields") or ())
    except ValueError as error:
        raise errors.failure(500, "", f"failed to decode managed fields: {error}") from None
    base = mf.strip(live) if live is not None else _named(applied)
    if not managed and live is not None:
        before = Manager(mf.BEFORE_FIRST_APPLY, "Update", version, subresource)
        managed = mf.update(mf.blank_of(schema), base, managed, before, version, node, now, reset)
    me = Manager(manager, "Apply", "", subresource)
    try:
        merged, after, conflicts = _apply(base, applied, managed, me, version, node, reset)
    except ValueError as error:
        raise errors.failure(500, "", f"failed to create typed patch object ({_which(applied)}): {error}") from None
    if not force and manager == "kubectl" and conflicts and live is not None:
        conflicts = _not_client_side_applied(conflicts, live, version, node)
    if conflicts and not force:
        raise conflict_error(conflicts)
    merged = _refresh_last_applied(merged, base, applied, manager)
    changed = merged != base
    if me in after:
        previous = managed.get(me)
        time = rfc3339(now) if changed else previous.time if previous else ""
        after[me] = Entry(after[me].fields, version, time)
    return mf.with_entries(merged, mf.encode(after))


def _named(applied: Obj) -> Obj:
    return {"apiVersion": applied.get("apiVersion"), "kind": applied.get("kind")}


def _apply(
    live: Obj, config: Obj, managed: Managed, me: Manager, version: str, node: Node, reset: Filter
) -> tuple[Obj, Managed, list[Conflict]]:
    """(object, managers after it, conflicts with other managers)."""
    merged = walk.merge(live, config, node)
    mine = reset(walk.to_set(config, node))
    last = managed[me].fields if me in managed else EMPTY
    after = {**managed, me: Entry(mine, version)}
    if last:
        merged = _prune(merged, after, last, node)
    changes = walk.compare(live, merged, node).without(reset)
    gained = fieldset.union(changes.modified, changes.added)
    conflicts: list[Conflict] = []
    result: Managed = {}
    for manager, entry in after.items():
        fields = entry.fields
        if manager == me:
            fields = fieldset.difference(fields, mf.STRIPPED)
        else:
            clash = fieldset.intersection(fields, gained)
            conflicts += [(manager, entry, path) for path in fieldset.paths(clash)]
            fields = fieldset.difference(fieldset.difference(fields, clash), changes.removed)
        if fields:
            result[manager] = Entry(fields, entry.api_version, entry.time)
    return merged, result, conflicts


def _prune(merged: Obj, managed: Managed, last: Trie, node: Node) -> Obj:
    """Take out what the applier managed before, put back what anybody manages now or never managed.

    Worked example: last `labels.a, labels.b`, now only `labels.a` → `labels.b` goes, unless another manager has it.
    """
    named_last = walk.with_named_fields(last, node)
    pruned = walk.remove(merged, named_last, node)
    kept: Trie = EMPTY
    for entry in managed.values():
        kept = fieldset.union(kept, entry.fields)
    there = walk.with_named_fields(walk.to_set(merged, node), node)
    left = walk.with_named_fields(walk.to_set(pruned, node), node)
    pruned = walk.remove(
        merged, fieldset.difference(there, fieldset.union(left, walk.with_named_fields(kept, node))), node
    )
    left = walk.with_named_fields(walk.to_set(pruned, node), node)
    gone = fieldset.intersection(fieldset.difference(there, left), named_last)
    result: Obj = walk.remove(merged, gone, node)
    return result


# --- conflicts -------------------------------------------------------------------------------------------------------


def conflict_error(conflicts: list[Conflict]) -> errors.ApiError:
    causes = [
        errors.cause("FieldManagerConflict", f"conflict with {_who(manager, entry)}", fieldset.path_text(path))
        for manager, entry, path in conflicts
    ]
    if len(conflicts) == 1:
        text = f"Apply failed with 1 conflict: {causes[0]['message']}: {causes[0]['field']}"
        return errors.apply_conflict(causes, text)
    lines: dict[str, list[str]] = {}
    for manager, entry, path in sorted(conflicts, key=lambda c: c[0]):
        lines.setdefault(f"conflicts with {_who(manager, entry)}:", []).append(f"- {fieldset.path_text(path)}")
    told = "\n".join("\n".join([head, *paths]) for head, paths in lines.items())
    return errors.apply_conflict(causes, f"Apply failed with {len(conflicts)} conflicts: {told}")


def _who(manager: Manager, entry: Entry) -> str:
    text = errors.quote(manager.name)
    if manager.subresource:
        text += f" with subresource {errors.quote(manager.subresource)}"
    return f"{text} using {entry.api_version}" if manager.operation == "Update" else text


def _not_client_side_applied(conflicts: list[Conflict], live: Obj, version: str, node: Node) -> list[Conflict]:
    """kubectl may take over what its own client-side apply set, as the annotation proves: the conflicts left then."""
    try:
        last = codec.loads(meta.annotations(live).get(LAST_APPLIED) or "null")
        if not isinstance(last, dict) or last.get("apiVersion") != version:
            return conflicts
        allowed = walk.to_set(last, node)
        changes = walk.compare(last, mf.strip(live), node)
    except ValueError:
        return conflicts
    for changed in (changes.modified, changes.added, changes.removed):
        allowed = fieldset.difference(allowed, changed)
    return [conflict for conflict in conflicts if not fieldset.has(allowed, conflict[2])]


def _refresh_last_applied(merged: Obj, live: Obj, applied: Obj, manager: str) -> Obj:
    """Where client-side apply's annotation stands, kubectl's server-side apply keeps it in step."""
    if manager != "kubectl" or LAST_APPLIED not in meta.annotations(live):
        return merged
    metadata = meta.metadata(applied)
    annotations = {key: value for key, value in meta.annotations(applied).items() if key != LAST_APPLIED}
    said = {key: value for key, value in metadata.items() if key != "annotations"}
    config = {**applied, "metadata": {**said, **({"annotations": annotations} if annotations else {})}}
    text = codec.dumps(config).decode() + "\n"
    own = meta.metadata(merged)
    return {**merged, "metadata": {**own, "annotations": {**meta.annotations(merged), LAST_APPLIED: text}}}


# --- what does not fit the type --------------------------------------------------------------------------------------


def check(applied: Obj, node: Node) -> None:
    """Raise ApiError for fields that the type does not have or that have another shape, in upstream's words."""
    found = _unfit(applied, node, "")
    if found:
        told = found[0] if len(found) == 1 else "errors:" + "".join(f"\n  {line}" for line in found)
        raise errors.failure(500, "", f"failed to create typed patch object ({_which(applied)}): {told}")


def unconvertible(applied: Obj, why: str) -> errors.ApiError:
    """500: the fields are of the right shapes, but their values are none of their types'."""
    group, _, version = (applied.get("apiVersion") or "").rpartition("/")
    kind = f"{group}/{version}, Kind={applied.get('kind', '')}"
    lead = f"failed to convert new object ({_which(applied)}) to proper version"
    return errors.failure(500, "", f"{lead}: unable to convert unstructured object to {kind}: {why}")


def _which(obj: Obj) -> str:
    group, _, version = (obj.get("apiVersion") or "").rpartition("/")
    namespace = meta.namespace(obj)
    return f"{namespace}/{meta.name(obj)}; {group}/{version}, Kind={obj.get('kind', '')}"


def _unfit(value: Any, node: Node, path: str) -> list[str]:
    where = path or "."
    if value is None or node.kind == "any":
        return []
    if node.kind == "scalar":
        wrong = _unfit_scalar(value, node.scalar)
        return [f"{where}: {wrong}"] if wrong else []
    if node.kind == "list":
        if not isinstance(value, list):
            return [f"{where}: expected list, got &{{{go_text(value)}}}"]
        return _unfit_list(value, node, path)
    if not isinstance(value, dict):
        return [f"{where}: expected map, got &{{{go_text(value)}}}"]
    found: list[str] = []
    for name, child in value.items():
        inner = node.named(name) or node.element
        if inner is None and not node.atomic:
            found.append(f"{path}.{name}: field not declared in schema")
            break  # upstream does not look further in this map
        if inner is not None:
            found += _unfit(child, inner, f"{path}.{name}")
    return found


def _unfit_scalar(value: Any, wanted: str) -> str:
    """Each kind of scalar shows what it got by another of Go's verbs."""
    kind = type(value)
    if wanted == "string" and kind is not str:
        return f"expected string, got &value.valueUnstructured{{Value:{_go_syntax(value)}}}"
    if wanted == "numeric" and kind not in (int, float):
        return f"expected numeric (int or float), got {go_type(value)}"
    if wanted == "boolean" and kind is not bool:
        return f"expected boolean, got &{{{go_text(value)}}}"
    if not wanted and kind in (dict, list):
        return f"expected any scalar, got &{{{go_text(value)}}}"
    return ""


def _go_syntax(value: Any) -> str:
    """As Go's %#v prints it."""
    if isinstance(value, dict):
        pairs = ", ".join(f"{errors.quote(key)}:{_go_syntax(value[key])}" for key in sorted(value))
        return f"map[string]interface {{}}{{{pairs}}}"
    if isinstance(value, list):
        return f"[]interface {{}}{{{', '.join(map(_go_syntax, value))}}}"
    if value is None:
        return "interface {}(nil)"
    return errors.quote(value) if isinstance(value, str) else go_text(value)


def _unfit_list(value: list[Any], node: Node, path: str) -> list[str]:
    if node.atomic:
        of = node.element
        return [] if of is None else [p for i, item in enumerate(value) for p in _unfit(item, of, f"{path}[{i}]")]
    found, seen = [], set()
    for i, item in enumerate(value):
        try:
            key = node.path_element(item)
        except ValueError as error:
            found.append(f"{path}: element {i}: {error}")
            continue
        told = fieldset.path_text((key,))
        if key in seen:
            found.append(f"{path}: duplicate entries for key {told}")
        seen.add(key)
        if node.element is not None:
            found += _unfit(item, node.element, path + told)
    return found
