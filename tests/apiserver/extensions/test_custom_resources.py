"""The life of custom resources: served at once, watched, selected, applied, scaled, converted, and gone with their
definition. What was compared with a real kube-apiserver 1.36.2 stands in `facts.json`; this is what takes several steps.
"""

from __future__ import annotations

import asyncio
import copy
import json
from typing import Any

from tests.api_server import Api, answers, until
from tests.apiserver.extensions import cases
from tests.apiserver.extensions.conftest import CRDS, established, served
from tests.apiserver.extensions.record import OBJECTS
from workshop.api.resources import Resource
from workshop.apiserver.assembly import ApiServer
from workshop.client.asgi import AsgiTransport
from workshop.client.rest import Client

Obj = dict[str, Any]
GIZMOS = "/apis/example.com/v1/namespaces/default/gizmos"
MERGE, APPLY, STRATEGIC = (f"application/{kind}" for kind in
                           ("merge-patch+json", "apply-patch+yaml", "strategic-merge-patch+json"))  # fmt: skip
TABLE = "application/json;as=Table;v=v1;g=meta.k8s.io"
AGGREGATED = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"


def widget(name: str = "w", version: str = "v1", **spec: Any) -> Obj:
    return {"apiVersion": f"example.com/{version}", "kind": "Widget", "metadata": {"name": name}, "spec": spec}


async def test_a_definition_is_accepted_and_discovered(api: Api) -> None:
    crd = copy.deepcopy(cases.WIDGETS)
    crd["spec"]["names"] |= {"shortNames": ["wd"], "categories": ["all"]}
    assert (await api("GET", OBJECTS)).status == 404
    await established(api, crd)
    found = (await api("GET", f"{CRDS}/widgets.example.com")).json
    assert {c["type"]: c["reason"] for c in found["status"]["conditions"]} == {
        "NamesAccepted": "NoConflicts", "Established": "InitialNamesAccepted",
    }  # fmt: skip
    assert found["status"]["storedVersions"] == ["v1"]
    groups = (await api("GET", "/apis", accept=AGGREGATED)).json["items"]
    (group,) = [g for g in groups if g["metadata"]["name"] == "example.com"]
    (resource,) = group["versions"][0]["resources"]
    assert resource["shortNames"] == ["wd"] and [s["subresource"] for s in resource["subresources"]] == [
        "scale",
        "status",
    ]
    plain = (await api("GET", "/apis/example.com/v1")).json["resources"]
    assert [r["name"] for r in plain] == ["widgets", "widgets/scale", "widgets/status"]


async def test_who_comes_second_does_not_get_the_name(api: Api) -> None:
    await established(api, cases.crd("gizmos", "Gizmo", names={"shortNames": ["gz"]}))
    second = cases.crd("gadgets", "Gizmo", names={"shortNames": ["gz"], "listKind": "GadgetList"})
    assert (await api("POST", CRDS, second)).status == 201

    async def judged() -> bool:
        return bool((await api("GET", f"{CRDS}/gadgets.example.com")).json["status"]["conditions"])

    await until(judged)
    conditions = (await api("GET", f"{CRDS}/gadgets.example.com")).json["status"]["conditions"]
    assert [(c["type"], c["status"], c["reason"]) for c in conditions] == [
        ("NamesAccepted", "False", "KindConflict"), ("Established", "False", "NotAccepted"),
    ]  # fmt: skip
    assert (await api("GET", "/apis/example.com/v1/gadgets")).status == 404
    assert (await api("DELETE", f"{CRDS}/gizmos.example.com")).status == 200
    await served(api, "gadgets.example.com")  # the names are free now


async def test_generations_and_the_status_door(api: Api) -> None:
    await established(api, cases.WIDGETS)
    made = (await api("POST", OBJECTS, {**widget(size=2), "status": {"ok": True}})).json
    assert made["metadata"]["generation"] == 1 and "status" not in made
    made = (await api("PUT", f"{OBJECTS}/w/status", {**made, "spec": {"size": 9}, "status": {"ok": True}})).json
    assert made["status"] == {"ok": True} and made["spec"]["size"] == 2 and made["metadata"]["generation"] == 1
    made = (await api("PATCH", f"{OBJECTS}/w", {"spec": {"size": 4}}, MERGE)).json
    assert made["metadata"]["generation"] == 2 and made["status"] == {"ok": True}
    await api("PATCH", f"{OBJECTS}/w", {"metadata": {"labels": {"a": "b"}}}, MERGE)
    assert (await api("GET", f"{OBJECTS}/w")).json["metadata"]["generation"] == 2
    scale = (await api("GET", f"{OBJECTS}/w/scale")).json
    assert scale["kind"] == "Scale" and scale["spec"] == {"replicas": 4}
    scaled = await api("PATCH", f"{OBJECTS}/w/scale", {"spec": {"replicas": 7}}, MERGE)
    assert scaled.status == 200 and (await api("GET", f"{OBJECTS}/w")).json["spec"]["size"] == 7
    refused = await api("PATCH", f"{OBJECTS}/w", {}, STRATEGIC)
    assert refused.status == 415 and "application/apply-patch+yaml" in refused.json["message"]
    unconditional = await api("PUT", f"{OBJECTS}/w", widget(size=1))
    assert unconditional.json["details"]["causes"][0]["field"] == "metadata.resourceVersion"


async def test_server_side_apply_knows_lists(api: Api) -> None:
    await established(api, cases.WIDGETS)
    one = widget(size=1, ports=[{"port": 80}], tags=["a"])
    two = widget(ports=[{"port": 443, "proto": "UDP"}], tags=["b"])
    assert (await api("PATCH", f"{OBJECTS}/w?fieldManager=one", json.dumps(one), APPLY)).status == 201
    both = (await api("PATCH", f"{OBJECTS}/w?fieldManager=two", json.dumps(two), APPLY)).json
    assert both["spec"]["ports"] == [{"port": 80, "proto": "TCP"}, {"port": 443, "proto": "UDP"}]
    assert both["spec"]["tags"] == ["a", "b"]
    assert {m["manager"]: [*m["fieldsV1"]["f:spec"]["f:ports"]] for m in both["metadata"]["managedFields"]} == {
        "one": ['k:{"port":80}'], "two": ['k:{"port":443}'],
    }  # fmt: skip
    clash = await api("PATCH", f"{OBJECTS}/w?fieldManager=two", json.dumps(widget(size=2)), APPLY)
    assert clash.status == 409 and clash.json["details"]["causes"][0]["field"] == ".spec.size"


async def test_columns_and_selectable_fields(api: Api) -> None:
    crd = copy.deepcopy(cases.WIDGETS)
    version = crd["spec"]["versions"][0]
    version["selectableFields"] = [{"jsonPath": ".spec.color"}]
    version["additionalPrinterColumns"] = [
        {"name": "Size", "type": "integer", "jsonPath": ".spec.size"},
        {"name": "First", "type": "string", "jsonPath": ".spec.ports[0].proto", "priority": 1},
        {"name": "Age", "type": "date", "jsonPath": ".metadata.creationTimestamp"},
    ]
    await established(api, crd)
    await api("POST", OBJECTS, widget("red", color="red", ports=[{"port": 1}]))
    await api("POST", OBJECTS, widget("blue", color="blue", size=5))
    table = (await api("GET", OBJECTS, accept=TABLE)).json
    assert [c["name"] for c in table["columnDefinitions"]] == ["Name", "Size", "First", "Age"]
    assert [row["cells"][:3] for row in table["rows"]] == [["blue", 5, None], ["red", 3, "TCP"]]
    chosen = (await api("GET", f"{OBJECTS}?fieldSelector=spec.color%3Dred")).json["items"]
    assert [o["metadata"]["name"] for o in chosen] == ["red"]
    assert (await api("GET", f"{OBJECTS}?fieldSelector=spec.size%3D1")).status == 400
    assert (await api("DELETE", f"{OBJECTS}?fieldSelector=spec.color%3Dblue")).status == 200
    assert len((await api("GET", OBJECTS)).json["items"]) == 1


def two_versions() -> Obj:
    crd = copy.deepcopy(cases.WIDGETS)
    crd["spec"]["versions"].append({
        "name": "v2", "served": True, "storage": False,
        "schema": {"openAPIV3Schema": cases.obj(spec=cases.obj(size={"type": "integer"}, extra={"type": "string", "default": "x"}))},
    })  # fmt: skip
    return crd


async def test_versions_are_one_store(api: Api) -> None:
    await established(api, two_versions())
    await api("POST", OBJECTS, widget(size=2, color="red"))
    other = (await api("GET", OBJECTS.replace("/v1/", "/v2/") + "/w")).json
    assert other["apiVersion"] == "example.com/v2" and other["spec"] == {"size": 2, "extra": "x"}
    listed = (await api("GET", OBJECTS.replace("/v1/", "/v2/"))).json
    assert listed["items"][0]["spec"] == {"size": 2, "extra": "x"}
    groups = (await api("GET", "/apis/example.com")).json
    assert [v["version"] for v in groups["versions"]] == ["v2", "v1"]
    crd = (await api("GET", f"{CRDS}/widgets.example.com")).json
    crd["spec"]["versions"][0] |= {"storage": False, "served": False}
    crd["spec"]["versions"][1]["storage"] = True
    changed = (await api("PUT", f"{CRDS}/widgets.example.com", crd)).json
    assert changed["status"]["storedVersions"] == ["v1", "v2"]
    await answers(api, f"{OBJECTS}/w", 404)
    assert (await api("GET", OBJECTS.replace("/v1/", "/v2/") + "/w")).status == 200


async def test_a_watch_sees_converted_objects_and_ends_with_the_definition(server: ApiServer, api: Api) -> None:
    await established(api, two_versions())
    client = Client(AsgiTransport(server.app))
    kind = Resource("example.com", "v2", "Widget", "widgets", custom=True)
    seen: list[tuple[str, Any]] = []

    async def watch() -> None:
        async for type, obj in client.watch(kind, "default"):
            seen.append((type, obj["spec"]))

    async def told(count: int) -> None:
        async def enough() -> bool:
            return len(seen) == count

        await until(enough)

    await api("POST", OBJECTS, widget(size=2, color="red"))
    task = asyncio.create_task(watch())
    await told(1)
    await api("PATCH", f"{OBJECTS}/w", {"spec": {"size": 5}}, MERGE)
    await told(2)
    async with asyncio.timeout(60):
        assert seen == [("ADDED", {"size": 2, "extra": "x"}), ("MODIFIED", {"size": 5, "extra": "x"})]
        assert (await api("DELETE", f"{CRDS}/widgets.example.com")).status == 200
        await task  # the stream has ended by itself


async def test_a_definition_goes_when_its_objects_have_gone(api: Api) -> None:
    await established(api, cases.crd())
    gizmo = {
        "apiVersion": "example.com/v1",
        "kind": "Gizmo",
        "metadata": {"name": "g", "finalizers": ["example.com/a"]},
    }
    assert (await api("POST", GIZMOS, gizmo)).status == 201
    going = (await api("DELETE", f"{CRDS}/gizmos.example.com")).json
    assert going["metadata"]["finalizers"] == ["customresourcecleanup.apiextensions.k8s.io"]
    assert going["status"]["conditions"][-1]["reason"] == "InstanceDeletionPending"

    async def marked() -> bool:
        return "deletionTimestamp" in (await api("GET", f"{GIZMOS}/g")).json["metadata"]

    await until(marked)
    refused = await api("POST", GIZMOS, {**gizmo, "metadata": {"name": "h"}})
    assert refused.status == 405 and "while custom resource definition is terminating" in refused.json["message"]
    assert (await api("GET", f"{CRDS}/gizmos.example.com")).status == 200
    await api("PATCH", f"{GIZMOS}/g", {"metadata": {"finalizers": None}}, MERGE)
    await answers(api, f"{CRDS}/gizmos.example.com", 404)
    await answers(api, GIZMOS, 404)


async def test_what_is_kept_of_a_kind_goes_with_its_definition(server: ApiServer, api: Api) -> None:
    """And a watch from then learns from etcd what has been since, of the kind that bears the name now."""
    shelves = server.cacher._shelves
    gizmo = {"apiVersion": "example.com/v1", "kind": "Gizmo", "metadata": {"name": "g"}}
    await established(api, cases.crd())
    assert (await api("GET", GIZMOS)).json["items"] == []
    first = (await api("POST", GIZMOS, gizmo)).json["metadata"]["resourceVersion"]
    assert "/registry/example.com/gizmos/" in shelves
    await api("DELETE", f"{CRDS}/gizmos.example.com")
    await answers(api, f"{CRDS}/gizmos.example.com", 404)
    await answers(api, GIZMOS, 404)
    assert "/registry/example.com/gizmos/" not in shelves
    await established(api, cases.crd())
    assert (await api("POST", GIZMOS, gizmo)).status == 201
    assert [each["metadata"]["name"] for each in (await api("GET", GIZMOS)).json["items"]] == ["g"]
    late = await api("GET", f"{GIZMOS}?watch=true&resourceVersion={first}&timeoutSeconds=1")
    assert [json.loads(line)["type"] for line in late.body.splitlines()] == ["DELETED", "ADDED"]


async def test_a_list_holds_all_of_an_object(api: Api) -> None:
    """Fields that stand before `metadata` in the stored bytes, one with a `metadata` of its own, kind and version."""
    await established(api, cases.crd(schema={"type": "object", "x-kubernetes-preserve-unknown-fields": True}))
    gizmo = {
        "apiVersion": "example.com/v1", "kind": "Gizmo", "metadata": {"name": "g"},
        "hostPort": "here:80", "inner": {"metadata": {"name": "x"}}, "spec": {"a": 1},
    }  # fmt: skip
    made = (await api("POST", GIZMOS, gizmo)).json
    assert made["inner"] == {"metadata": {"name": "x"}}
    (listed,) = (await api("GET", GIZMOS)).json["items"]
    assert listed == made == (await api("GET", f"{GIZMOS}/g")).json


async def test_a_key_that_stands_twice_in_yaml_is_told(api: Api) -> None:
    await established(api, cases.crd(schema={"type": "object", "x-kubernetes-preserve-unknown-fields": True}))
    body = "apiVersion: example.com/v1\nkind: Gizmo\nmetadata: {name: g}\nspec:\n  a: 1\n  a: 2\n"
    line = 'line 6: key "a" already set in map'
    strict = await api("PATCH", f"{GIZMOS}/g?fieldManager=m&fieldValidation=Strict", body, APPLY)
    assert strict.status == 400 and strict.json["message"] == (
        f"error strict decoding YAML: error converting YAML to JSON: yaml: unmarshal errors:\n  {line}"
    )
    warned = await api("PATCH", f"{GIZMOS}/g?fieldManager=m", body, APPLY)
    assert warned.status == 201 and warned.json["spec"] == {"a": 2} and "already set" in warned.headers["warning"]
    refused = await api("PUT", f"{GIZMOS}/g?fieldValidation=Strict", body, "application/yaml")
    assert refused.status == 400 and line in refused.json["message"]
