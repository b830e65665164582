"""Who manages the replicas, seen through the scale subresource; the expectations are a real kube-apiserver's."""

from __future__ import annotations

from typing import Any

from workshop.api import errors, schema
from workshop.api.patch import apply, managed_fields, scale_fields

SCALE = schema.for_kind("autoscaling/v1", "Scale")
NOW = 1_800_000_000.0
CREATED = {
    "manager": "kubectl-create", "operation": "Update", "apiVersion": "apps/v1", "time": "2026-01-01T00:00:00Z",
    "fieldsType": "FieldsV1", "fieldsV1": {"f:spec": {"f:replicas": {}, "f:paused": {}}},
}  # fmt: skip


def shown(entries: list[dict[str, Any]]) -> list[tuple[str, str, str, bool]]:
    return [
        (e["manager"], e["operation"], e.get("subresource", ""), "f:replicas" in e["fieldsV1"]["f:spec"])
        for e in entries
    ]


def scaled(entries: list[dict[str, Any]], manager: str, replicas: int | None, was: int, force: bool = False) -> Any:
    """Apply a Scale with so many replicas to a workload that has `was`."""
    before = {"apiVersion": "autoscaling/v1", "kind": "Scale", "metadata": {"name": "d"}, "spec": {"replicas": was}}
    before = managed_fields.with_entries(before, scale_fields.to_scale(entries, ("spec", "replicas")))
    spec = {} if replicas is None else {"replicas": replicas}
    body = {"apiVersion": "autoscaling/v1", "kind": "Scale", "metadata": {"name": "d"}, "spec": spec}
    new = apply.apply(before, body, manager, force, SCALE, NOW, "scale")
    held = new["metadata"].get("managedFields") or []
    return scale_fields.to_parent(entries, held, ("spec", "replicas"), "apps/v1")


def test_scaling_by_apply_is_an_entry_of_its_own_and_takes_the_replicas_from_whoever_had_them() -> None:
    try:
        scaled([CREATED], "alice", 4, was=2)
        raise AssertionError("no conflict")
    except errors.ApiError as refused:
        assert refused.message.endswith('conflict with "kubectl-create" using autoscaling/v1: .spec.replicas')
    entries = scaled([CREATED], "alice", 4, was=2, force=True)
    assert shown(entries) == [("alice", "Apply", "scale", True), ("kubectl-create", "Update", "", False)]
    assert entries[0]["apiVersion"] == "apps/v1" and entries[1]["time"] == CREATED["time"]
    shared = scaled(entries, "bob", 4, was=4)
    assert shown(shared)[:2] == [("alice", "Apply", "scale", True), ("bob", "Apply", "scale", True)]
    # upstream's oddity: an apply that leaves the replicas out keeps them
    assert shown(scaled(shared, "alice", None, was=4)) == shown(shared)


def test_a_custom_resource_keeps_its_replicas_where_its_definition_says() -> None:
    row = {**CREATED, "apiVersion": "example.com/v1", "fieldsV1": {"f:spec": {"f:size": {}}}}
    assert shown(scale_fields.to_scale([row], ("spec", "size"))) == [("kubectl-create", "Update", "", True)]
    assert scale_fields.to_scale([row], ("spec", "replicas")) == []
