"""The resource table, and the names and paths made from it."""

import pytest

from workshop.api.resources import (
    Registry,
    Resource,
    all_resources,
    for_kind,
    group_versions,
    resource,
    storage_version_hash,
)


def test_lookups_agree() -> None:
    known = all_resources(every_version=True)
    served = Registry(known)
    for r in known:
        assert served.find(r.group, r.version, r.plural) is r
        if r.plural not in ("bindings",):
            assert for_kind(r.api_version, r.kind) is r


@pytest.mark.parametrize(
    ("name", "api_version", "plural"),
    [
        ("pods", "v1", "pods"),
        ("po", "v1", "pods"),
        ("deploy", "apps/v1", "deployments"),
        ("deployments.apps", "apps/v1", "deployments"),
        ("deployments.v1.apps", "apps/v1", "deployments"),
        ("events", "v1", "events"),
        ("events.events.k8s.io", "events.k8s.io/v1", "events"),
        ("hpa", "autoscaling/v2", "horizontalpodautoscalers"),
        ("leases.coordination.k8s.io", "coordination.k8s.io/v1", "leases"),
    ],
)
def test_names(name: str, api_version: str, plural: str) -> None:
    found = resource(name)
    assert (found.api_version, found.plural) == (api_version, plural)


def test_unknown_name_is_a_key_error() -> None:
    with pytest.raises(KeyError):
        resource("gizmos")


@pytest.mark.parametrize(
    ("name", "namespace", "key"),
    [
        ("pods", "default", "/registry/pods/default/x"),
        ("nodes", None, "/registry/minions/x"),
        ("services", "a", "/registry/services/specs/a/x"),
        ("endpoints", "a", "/registry/services/endpoints/a/x"),
        ("replicationcontrollers", "a", "/registry/controllers/a/x"),
        ("ingresses", "a", "/registry/ingress/a/x"),
        ("events.events.k8s.io", "a", "/registry/events/a/x"),
        ("apiservices", None, "/registry/apiregistration.k8s.io/apiservices/x"),
        ("crds", None, "/registry/apiextensions.k8s.io/customresourcedefinitions/x"),
    ],
)
def test_storage_keys(name: str, namespace: str | None, key: str) -> None:
    assert resource(name).storage_key(namespace, "x") == key


def test_paths() -> None:
    assert resource("pods").path("default", "web", "log") == "/api/v1/namespaces/default/pods/web/log"
    assert resource("pods").path() == "/api/v1/pods"
    assert resource("nodes").path("ignored", "n") == "/api/v1/nodes/n"


def test_events_share_one_store_and_hash() -> None:
    core, new = resource("events"), resource("events.events.k8s.io")
    assert core.storage_version_hash == new.storage_version_hash == "r2yiGXH7wu8="
    assert new.storage_api_version == "v1"
    assert storage_version_hash("apps", "v1", "Deployment") == "8aSe+NMegvE="


def test_subresources_carry_their_own_kind() -> None:
    eviction = resource("pods").subresource("eviction")
    assert eviction is not None and (eviction.api_version, eviction.kind) == ("policy/v1", "Eviction")
    assert resource("pods").subresource("nothing") is None


def test_groups_in_discovery_order() -> None:
    groups = group_versions()
    assert list(groups)[:3] == ["", "apiregistration.k8s.io", "apps"]
    assert groups["autoscaling"] == ["v2", "v1"]
    assert "storagemigration.k8s.io" not in groups
    assert "storagemigration.k8s.io" in group_versions(all_resources(every_version=True))


def test_custom_resources_are_resources() -> None:
    made = Resource("example.com", "v1", "Gizmo", "gizmos", custom=True)
    assert made.storage_key("ns", "a") == "/registry/example.com/gizmos/ns/a"
    assert (made.singular, made.list_kind, made.group_resource) == ("gizmo", "GizmoList", "gizmos.example.com")


def test_a_registry_follows_definitions() -> None:
    """What a definition adds is found at once, and gone with it; the built-in ones stay."""
    served = Registry()
    gizmo = Resource("example.com", "v1", "Gizmo", "gizmos", custom=True)
    before = served.generation
    served.put("gizmos.example.com", [gizmo])
    assert served.find("example.com", "v1", "gizmos") is gizmo
    assert served.for_kind("example.com/v1", "Gizmo") is gizmo and served.generation == before + 1
    assert group_versions(served)["example.com"] == ["v1"]
    served.put("gizmos.example.com", [gizmo])
    assert served.generation == before + 1  # nothing has changed
    served.put("gizmos.example.com", [])
    assert served.find("example.com", "v1", "gizmos") is None
    assert served.find("", "v1", "pods") is resource("pods")
