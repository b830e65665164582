"""Raw HTTP to an API server in this process: what kubectl's tests ask of it, without kubectl.

Expectations were compared with a real kube-apiserver 1.36.2. What is refused, and how, stands in `test_refusals`;
who is let in, in `authentication/` and `test_client_certificates`.
"""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest

from tests.api_server import answers
from workshop.api import errors
from workshop.api.resources import resource
from workshop.apiserver import cacher
from workshop.apiserver import shelf as shelves
from workshop.apiserver.assembly import ApiServer
from workshop.apiserver.server import warned
from workshop.client.asgi import AsgiTransport
from workshop.client.rest import Client
from workshop.client.transport import HttpTransport
from workshop.serving import listen, serve

Api = Callable[..., Awaitable[Any]]
Obj = dict[str, Any]
MAPS, PODS = "/api/v1/namespaces/default/configmaps", "/api/v1/namespaces/default/pods"
DEPLOYMENTS = "/apis/apps/v1/namespaces/default/deployments"
BUDGETS = "/apis/policy/v1/namespaces/default/poddisruptionbudgets"
LEASES = "/apis/coordination.k8s.io/v1/namespaces/default/leases"
EVENTS, NEW_EVENTS = "/api/v1/namespaces/default/events", "/apis/events.k8s.io/v1/namespaces/default/events"
MERGE, STRATEGIC = "application/merge-patch+json", "application/strategic-merge-patch+json"
JSON_PATCH, APPLY = "application/json-patch+json", "application/apply-patch+yaml"
YAML, PROTOBUF = "application/yaml", "application/vnd.kubernetes.protobuf"
TABLE = "application/json;as=Table;v=v1;g=meta.k8s.io"
PARTIAL = "application/json;as=PartialObjectMetadata;v=v1;g=meta.k8s.io"
UNREADABLE = "the object provided is unrecognized (must be of type ConfigMap): "
SYNTAX = UNREADABLE + "couldn't get version/kind; json parse error: "


def config_map(name: str, data: Obj | None = None, **metadata: Any) -> Obj:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, **metadata}, "data": data or {"a": "1"}}


def pod(name: str, **metadata: Any) -> Obj:
    spec = {"containers": [{"name": "c", "image": "x"}]}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, **metadata}, "spec": spec}


def deployment(name: str, replicas: int = 1) -> Obj:
    template = {"metadata": {"labels": {"a": "b"}}, "spec": pod("x")["spec"]}
    spec = {"replicas": replicas, "selector": {"matchLabels": {"a": "b"}}, "template": template}
    return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": name}, "spec": spec}


def delete_options(**options: Any) -> Obj:
    return {"apiVersion": "v1", "kind": "DeleteOptions", **options}


async def made(api: Api, path: str, obj: Obj) -> Obj:
    answer = await api("POST", path, obj)
    assert answer.status == 201, answer.body
    found: Obj = answer.json
    return found


async def on_a_node(api: Api, name: str) -> None:
    await made(api, PODS, pod(name))
    target = {"kind": "Node", "name": "node-1"}
    binding = {"apiVersion": "v1", "kind": "Binding", "metadata": {"name": name}, "target": target}
    assert (await api("POST", f"{PODS}/{name}/binding", binding)).status == 201


@pytest.fixture
async def client(server: ApiServer) -> AsyncIterator[Client]:
    """For watches, which do not end."""
    async with Client(AsgiTransport(server.app)) as client:
        yield client


# --- objects


async def test_the_life_of_an_object(api: Api) -> None:
    created = await made(api, MAPS, config_map("c"))
    metadata = created["metadata"]
    assert metadata["namespace"] == "default" and metadata["uid"] and metadata["creationTimestamp"]
    assert [entry["manager"] for entry in metadata["managedFields"]] == ["test"]
    assert (await api("GET", f"{MAPS}/c")).json == created
    changed = (await api("PUT", f"{MAPS}/c", {**created, "data": {"a": "2"}})).json
    assert int(changed["metadata"]["resourceVersion"]) > int(metadata["resourceVersion"])
    stale = await api("PUT", f"{MAPS}/c", {**created, "data": {"a": "3"}})
    assert (stale.status, stale.json["reason"]) == (409, "Conflict")
    assert stale.json["message"] == (
        'Operation cannot be fulfilled on configmaps "c": the object has been modified; '
        "please apply your changes to the latest version and try again"
    )
    gone = await api("DELETE", f"{MAPS}/c")
    details = {"name": "c", "kind": "configmaps", "uid": metadata["uid"]}
    assert gone.json == {
        "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "details": details,
    }  # fmt: skip
    missing = await api("GET", f"{MAPS}/c")
    assert missing.status == 404
    assert missing.json == {
        "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure", "code": 404, "reason": "NotFound",
        "message": 'configmaps "c" not found', "details": {"name": "c", "kind": "configmaps"},
    }  # fmt: skip


async def test_the_same_name_twice(api: Api) -> None:
    await made(api, MAPS, config_map("c", finalizers=["example.com/wait"]))
    again = await api("POST", MAPS, config_map("c"))
    assert (again.status, again.json["message"]) == (409, 'configmaps "c" already exists')
    await api("DELETE", f"{MAPS}/c")
    again = await api("POST", MAPS, config_map("c"))
    assert again.json["message"] == 'object is being deleted: configmaps "c" already exists'


async def test_an_invalid_object_is_told_whole(api: Api) -> None:
    answer = await api("POST", MAPS, config_map("UPPER"))
    assert answer.status == 422
    status = answer.json
    assert (status["reason"], status["details"]["kind"], status["details"]["name"]) == ("Invalid", "ConfigMap", "UPPER")
    [cause] = status["details"]["causes"]
    assert (cause["reason"], cause["field"]) == ("FieldValueInvalid", "metadata.name")
    assert status["message"] == f'ConfigMap "UPPER" is invalid: metadata.name: {cause["message"]}'


async def test_generated_names(api: Api) -> None:
    obj = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"generateName": "gen-"}}
    names = {(await made(api, MAPS, obj))["metadata"]["name"] for _ in range(3)}
    assert len(names) == 3 and all(name.startswith("gen-") and len(name) == 9 for name in names)


@pytest.mark.parametrize(
    ("body", "content_type"),
    [
        ('{"data":{"a":"1"},"metadata":{"name":"c","labels":{},"annotations":null},"binaryData":{}}', ""),
        ('{"data":{"a":"1"}}', MERGE),
        ('{"data":{"a":"1"}}', STRATEGIC),
        ("[]", JSON_PATCH),
    ],
)
async def test_what_changes_nothing_makes_no_version(api: Api, body: str, content_type: str) -> None:
    before = (await made(api, MAPS, config_map("c")))["metadata"]["resourceVersion"]
    answer = await api("PATCH" if content_type else "PUT", f"{MAPS}/c", body, content_type or "application/json")
    assert (answer.status, answer.json["metadata"]["resourceVersion"]) == (200, before)


async def test_some_kinds_are_only_updated_from_a_version(api: Api) -> None:
    lease = {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": {"name": "l"}, "spec": {}}
    created = await made(api, LEASES, lease)
    answer = await api("PUT", f"{LEASES}/l", lease)
    assert answer.status == 422
    assert answer.json["message"] == (
        'leases.coordination.k8s.io "l" is invalid: metadata.resourceVersion: '
        "Invalid value: 0: must be specified for an update"
    )
    assert (await api("PUT", f"{LEASES}/l", created)).status == 200
    assert (await api("PUT", f"{LEASES}/new", {**lease, "metadata": {"name": "new"}})).status == 201


@pytest.mark.parametrize("type", ["Opaque", "kubernetes.io/basic-auth", "kubernetes.io/tls"])
async def test_bytes_that_are_null(api: Api, type: str) -> None:
    data = {"username": None, "password": None, "tls.crt": None, "tls.key": None}
    secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s"}, "type": type, "data": data}
    assert (await made(api, "/api/v1/namespaces/default/secrets", secret))["data"] == data
    found = await made(api, MAPS, {**config_map("c"), "binaryData": {"b": None}})
    assert found["binaryData"] == {"b": None}


# --- lists


async def test_pages(api: Api) -> None:
    for name in "abcde":
        await made(api, MAPS, config_map(name))
    first = (await api("GET", f"{MAPS}?limit=2")).json
    assert [i["metadata"]["name"] for i in first["items"]] == ["a", "b"]
    assert first["metadata"]["remainingItemCount"] == 3
    await api("DELETE", f"{MAPS}/c")  # a later page is as old as the first
    second = (await api("GET", f"{MAPS}?limit=2&continue={first['metadata']['continue']}")).json
    assert [i["metadata"]["name"] for i in second["items"]] == ["c", "d"]
    assert second["metadata"]["resourceVersion"] == first["metadata"]["resourceVersion"]
    last = (await api("GET", f"{MAPS}?limit=2&continue={second['metadata']['continue']}")).json
    assert [i["metadata"]["name"] for i in last["items"]] == ["e"] and "continue" not in last["metadata"]
    assert len((await api("GET", f"{MAPS}?limit=-1")).json["items"]) == 4
    wrong = await api("GET", f"{MAPS}?continue=abc")
    assert (wrong.status, wrong.json["reason"]) == (400, "BadRequest")
    assert wrong.json["message"].startswith("invalid continue token: continue key is not valid: ")


async def test_a_page_of_a_compacted_list_is_gone_and_says_how_to_go_on(api: Api, server: ApiServer) -> None:
    for name in "abc":
        await made(api, MAPS, config_map(name))
    first = (await api("GET", f"{MAPS}?limit=1")).json
    newer = int((await made(api, MAPS, config_map("d")))["metadata"]["resourceVersion"])
    await server._storage.compact(newer)
    answer = await api("GET", f"{MAPS}?limit=1&continue={first['metadata']['continue']}")
    assert (answer.status, answer.json["reason"]) == (410, "Expired")
    rest = (await api("GET", f"{MAPS}?continue={answer.json['metadata']['continue']}")).json
    assert [i["metadata"]["name"] for i in rest["items"]] == ["b", "c", "d"]
    old = await api("GET", f"{MAPS}?resourceVersion=1&resourceVersionMatch=Exact")
    assert (old.status, old.json["message"]) == (410, "The resourceVersion for the provided list is too old.")


async def test_lists_at_a_version(api: Api) -> None:
    version = (await made(api, MAPS, config_map("a")))["metadata"]["resourceVersion"]
    await made(api, MAPS, config_map("b"))
    exact = (await api("GET", f"{MAPS}?resourceVersion={version}&resourceVersionMatch=Exact")).json
    assert [i["metadata"]["name"] for i in exact["items"]] == ["a"]
    assert exact["metadata"]["resourceVersion"] == version
    newer = (await api("GET", f"{MAPS}?resourceVersion={version}&resourceVersionMatch=NotOlderThan")).json
    assert len(newer["items"]) == 2


async def test_a_version_of_the_future_is_waited_for_in_vain(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cacher.Cacher.wait_until, "__defaults__", (0.01,))
    answer = await api("GET", f"{MAPS}?resourceVersion=999999")
    assert (answer.status, answer.json["reason"]) == (504, "Timeout")
    assert answer.json["message"].startswith("Timeout: Too large resource version: 999999, current: ")
    [cause] = answer.json["details"]["causes"]
    assert cause == {"reason": "ResourceVersionTooLarge", "message": "Too large resource version"}


async def test_selectors(api: Api) -> None:
    for name, color in (("a", "red"), ("b", "green"), ("c", "blue")):
        await made(api, MAPS, config_map(name, labels={"color": color}))

    async def names(query: str) -> str:
        return "".join(i["metadata"]["name"] for i in (await api("GET", f"{MAPS}?{query}")).json["items"])

    assert await names("labelSelector=color+in+(red,green)") == "ab"
    assert await names("labelSelector=color!=red,color") == "bc"
    assert await names("labelSelector=!color") == ""
    assert await names("fieldSelector=metadata.name!=a") == "bc"
    assert await names("fieldSelector=metadata.name=a,metadata.namespace=default") == "a"
    assert (await api("GET", f"{MAPS}?labelSelector=a+in+b")).status == 400
    assert (await api("GET", f"{PODS}?fieldSelector=spec.colour=red")).json["message"] == (
        "field label not supported: spec.colour"
    )


async def test_forms(api: Api) -> None:
    await made(api, MAPS, config_map("c"))
    table = (await api("GET", MAPS, accept=TABLE)).json
    assert table["kind"] == "Table" and [c["name"] for c in table["columnDefinitions"]] == ["Name", "Data", "Age"]
    [row] = table["rows"]
    assert row["cells"][:2] == ["c", 1] and row["object"]["kind"] == "PartialObjectMetadata"
    partial = (await api("GET", f"{MAPS}/c", accept=PARTIAL)).json
    assert partial["kind"] == "PartialObjectMetadata" and "data" not in partial
    wrong = await api("GET", MAPS, accept=PARTIAL)
    assert (wrong.status, wrong.json["message"]) == (
        406, "you requested PartialObjectMetadata, but the requested object is a list (*core.ConfigMapList)",
    )  # fmt: skip
    assert (await api("GET", f"{MAPS}/c", accept="text/plain")).status == 406
    assert (await api("GET", f"{MAPS}/c", accept="text/plain,*/*")).status == 200


async def test_long_answers_are_zipped_for_who_can_read_that(api: Api) -> None:
    await made(api, MAPS, config_map("c", {"a": "x" * 200_000}))
    zipped = await api("GET", f"{MAPS}/c", accept_encoding="gzip")
    assert zipped.headers["content-encoding"] == "gzip" and len(zipped.body) < 10_000
    assert json.loads(gzip.decompress(zipped.body)) == (await api("GET", f"{MAPS}/c")).json
    body = gzip.compress(json.dumps(config_map("z")).encode())
    assert (await api("POST", MAPS, body, content_encoding="gzip")).status == 400


# --- watches


async def after(client: Client, made: Obj, **options: Any) -> Any:
    version = made["metadata"]["resourceVersion"]
    return client.watch(resource("configmaps"), "default", resource_version=version, **options)


async def seen(watch: Any, count: int) -> list[tuple[str, str]]:
    found = []
    async with asyncio.timeout(60), contextlib.aclosing(watch):
        async for kind, obj in watch:
            found.append((kind, obj["metadata"].get("name", "")))
            if len(found) == count:
                break
    return found


async def test_a_watch_tells_each_change_once(api: Api, client: Client) -> None:
    first = await made(api, MAPS, config_map("first"))
    await made(api, MAPS, config_map("second"))
    watch = await after(client, first)
    telling = asyncio.create_task(seen(watch, 3))
    await api("PATCH", f"{MAPS}/second", {"data": {"x": "2"}}, MERGE)
    await api("DELETE", f"{MAPS}/second")
    assert await telling == [("ADDED", "second"), ("MODIFIED", "second"), ("DELETED", "second")]


async def test_what_enters_and_leaves_a_selection(api: Api, client: Client) -> None:
    first = await made(api, MAPS, config_map("x"))
    for color in ("red", "red-ish", "blue", "red"):
        await api("PATCH", f"{MAPS}/x", {"metadata": {"labels": {"color": color}}}, MERGE)
    await api("DELETE", f"{MAPS}/x")
    await made(api, MAPS, config_map("end", labels={"color": "red"}))
    told = await seen(await after(client, first, label_selector="color in (red,red-ish)"), 6)
    assert [kind for kind, _ in told] == ["ADDED", "MODIFIED", "DELETED", "ADDED", "DELETED", "ADDED"]


async def test_a_watch_that_begins_with_a_list(api: Api, client: Client) -> None:
    for name in "ab":
        await made(api, MAPS, config_map(name))
    watch = client.watch(resource("configmaps"), "default", send_initial_events=True)
    async with asyncio.timeout(60), contextlib.aclosing(watch):
        first = [await anext(watch) for _ in range(3)]
        assert [(kind, obj["metadata"].get("name")) for kind, obj in first[:2]] == [("ADDED", "a"), ("ADDED", "b")]
        kind, mark = first[2]
        assert kind == "BOOKMARK" and mark["metadata"]["annotations"] == {"k8s.io/initial-events-end": "true"}
        assert int(mark["metadata"]["resourceVersion"]) >= int(first[1][1]["metadata"]["resourceVersion"])
        await made(api, MAPS, config_map("c"))
        kind, obj = await anext(watch)
        assert (kind, obj["metadata"]["name"]) == ("ADDED", "c")


async def test_what_is_written_while_a_watch_opens_comes_once(api: Api, server: ApiServer) -> None:
    """Between the answer's head and its first line other requests are served."""
    await made(api, MAPS, config_map("a"))
    lines: list[bytes] = []
    done = asyncio.Event()

    async def receive() -> Any:
        await done.wait()
        return {"type": "http.disconnect"}

    async def send(message: Any) -> None:
        if message["type"] == "http.response.start":
            await made(api, MAPS, config_map("b"))
            await server.cacher.consistent()
        elif message.get("body"):
            lines.extend(message["body"].splitlines())
            if b'"end"' in message["body"]:
                done.set()
            elif len(lines) == 2:
                asyncio.get_running_loop().create_task(made(api, MAPS, config_map("end")))

    scope = {
        "type": "http", "method": "GET", "path": MAPS, "headers": [], "query_string": b"watch=1", "extensions": {},
    }  # fmt: skip
    async with asyncio.timeout(60):
        await server.app(scope, receive, send)
    assert [json.loads(line)["object"]["metadata"]["name"] for line in lines] == ["a", "b", "end"]


async def test_bookmarks_come_also_when_nothing_matches(api: Api, client: Client, monkeypatch: Any) -> None:
    monkeypatch.setattr("workshop.apiserver.handlers.watch.BOOKMARK_EVERY", 0.02)
    first = await made(api, MAPS, config_map("a"))
    last = await made(api, MAPS, config_map("b"))
    watch = await after(client, first, label_selector="none=at-all")
    async with asyncio.timeout(60), contextlib.aclosing(watch):
        async for kind, obj in watch:
            assert kind == "BOOKMARK" and "labels" not in obj["metadata"]
            if int(obj["metadata"]["resourceVersion"]) >= int(last["metadata"]["resourceVersion"]):
                break


async def test_a_watch_from_the_future_tells_nothing_of_the_present(api: Api, client: Client) -> None:
    first = await made(api, MAPS, config_map("a"))
    future = str(int(first["metadata"]["resourceVersion"]) + 1)
    watch = client.watch(resource("configmaps"), "default", resource_version=future)
    telling = asyncio.create_task(seen(watch, 1))
    assert (await made(api, MAPS, config_map("b")))["metadata"]["resourceVersion"] == future
    await made(api, MAPS, config_map("c"))
    assert await telling == [("ADDED", "c")]


async def test_a_forgotten_version_is_410_within_the_stream(api: Api, client: Client, server: ApiServer) -> None:
    first = await made(api, MAPS, config_map("a"))
    await made(api, MAPS, config_map("b"))
    last = await made(api, MAPS, config_map("c"))
    await server._storage.compact(int(last["metadata"]["resourceVersion"]))
    server.cacher.shelf("/registry/configmaps/").oldest = int(last["metadata"]["resourceVersion"])
    with pytest.raises(errors.ApiError) as gone:
        await seen(await after(client, first), 1)
    assert (gone.value.code, gone.value.reason) == (410, "Expired")


async def test_a_watch_of_tables_names_its_columns_once(api: Api, client: Client) -> None:
    await made(api, MAPS, config_map("a"))
    await made(api, MAPS, config_map("b"))
    response = await client.stream("GET", MAPS, {"watch": True}, headers={"Accept": TABLE})
    try:
        lines: list[bytes] = []
        async with asyncio.timeout(60), contextlib.aclosing(response.chunks()) as chunks:
            async for chunk in chunks:
                lines += chunk.splitlines()
                if len(lines) == 2:
                    break
    finally:
        response.close()
    tables = [json.loads(line)["object"] for line in lines]
    assert [bool(table["columnDefinitions"]) for table in tables] == [True, False]
    assert [table["rows"][0]["cells"][0] for table in tables] == ["a", "b"]


async def test_the_old_path_of_a_watch_selects_its_name(api: Api, client: Client) -> None:
    await made(api, MAPS, config_map("a"))
    await made(api, MAPS, config_map("b"))
    response = await client.stream("GET", "/api/v1/watch/namespaces/default/configmaps/b")
    async with asyncio.timeout(60), contextlib.aclosing(response.chunks()) as chunks:
        assert json.loads(await anext(chunks))["object"]["metadata"]["name"] == "b"
    response.close()


# --- changes


@pytest.mark.parametrize(
    ("kind", "patch"),
    [
        (MERGE, {"data": {"color": "red", "size": None}}),
        (STRATEGIC, {"data": {"color": "red", "size": None}}),
        (JSON_PATCH, [{"op": "replace", "path": "/data/color", "value": "red"}, {"op": "remove", "path": "/data/size"}]),
    ],
)  # fmt: skip
async def test_every_patch_type(api: Api, kind: str, patch: Any) -> None:
    await made(api, MAPS, config_map("c", {"color": "blue", "size": "large"}))
    answer = await api("PATCH", f"{MAPS}/c", patch, kind)
    assert (answer.status, answer.json["data"]) == (200, {"color": "red"})


async def test_a_strategic_patch_knows_containers_by_name(api: Api) -> None:
    await made(api, DEPLOYMENTS, deployment("d"))
    side = {"name": "side", "image": "y"}
    patch = {"spec": {"template": {"spec": {"containers": [side, {"name": "c", "$patch": "delete"}]}}}}
    answer = await api("PATCH", f"{DEPLOYMENTS}/d", patch, STRATEGIC)
    assert [c["name"] for c in answer.json["spec"]["template"]["spec"]["containers"]] == ["side"]
    assert answer.json["metadata"]["generation"] == 2


async def test_server_side_apply_and_its_conflict(api: Api) -> None:
    assert (await api("PATCH", f"{MAPS}/c?fieldManager=one", config_map("c"), APPLY)).status == 201
    other = config_map("c", {"a": "2"})
    refused = await api("PATCH", f"{MAPS}/c?fieldManager=two", other, APPLY)
    assert refused.status == 409
    assert refused.json["message"] == 'Apply failed with 1 conflict: conflict with "one": .data.a'
    forced = await api("PATCH", f"{MAPS}/c?fieldManager=two&force=true", other, APPLY)
    assert (forced.status, forced.json["data"]) == (200, {"a": "2"})


async def test_dry_runs_store_nothing(api: Api) -> None:
    before = await made(api, MAPS, config_map("c"))
    assert (await api("POST", f"{MAPS}?dryRun=All", config_map("new"))).status == 201
    assert (await api("POST", f"{MAPS}?dryRun=All", config_map("c"))).status == 409
    changed = await api("PUT", f"{MAPS}/c?dryRun=All", config_map("c", {"a": "2"}))
    assert (changed.status, changed.json["data"]) == (200, {"a": "2"})
    assert changed.json["metadata"]["resourceVersion"] == before["metadata"]["resourceVersion"]
    assert (await api("DELETE", f"{MAPS}/c?dryRun=All")).status == 200
    assert (await api("DELETE", f"{MAPS}?dryRun=All")).status == 200
    assert (await api("DELETE", f"{MAPS}/c", delete_options(dryRun=["All"]))).status == 200
    assert (await api("GET", f"{MAPS}/new")).status == 404
    assert (await api("GET", f"{MAPS}/c")).json == before


async def test_generation_counts_changes_of_the_spec(api: Api) -> None:
    created = await made(api, DEPLOYMENTS, deployment("d"))
    assert created["metadata"]["generation"] == 1

    async def generation(path: str, patch: Obj) -> int:
        return int((await api("PATCH", f"{DEPLOYMENTS}/{path}", patch, MERGE)).json["metadata"]["generation"])

    assert await generation("d", {"metadata": {"labels": {"x": "y"}}, "status": {"replicas": 7}}) == 1
    assert await generation("d/status", {"status": {"replicas": 2}, "spec": {"replicas": 77}}) == 1
    assert await generation("d", {"spec": {"replicas": 3}}) == 2
    found = (await api("GET", f"{DEPLOYMENTS}/d")).json
    assert (found["spec"]["replicas"], found["status"]["replicas"]) == (3, 2)


async def test_a_deployments_annotations_are_a_part_of_the_wish(api: Api) -> None:
    await made(api, DEPLOYMENTS, deployment("d"))
    answer = await api("PATCH", f"{DEPLOYMENTS}/d", {"metadata": {"annotations": {"x": "y"}}}, MERGE)
    assert answer.json["metadata"]["generation"] == 2
    both = {"metadata": {"annotations": {"z": "z"}, "labels": {"z": "z"}}}
    metadata = (await api("PATCH", f"{DEPLOYMENTS}/d/status", both, MERGE)).json["metadata"]
    assert (metadata["annotations"], metadata.get("labels")) == ({"x": "y", "z": "z"}, None)


async def test_a_new_status_is_what_go_makes_of_nothing(api: Api) -> None:
    spec = {"minAvailable": 1, "selector": {"matchLabels": {"app": "p"}}}
    budget = {"apiVersion": "policy/v1", "kind": "PodDisruptionBudget", "metadata": {"name": "b"}, "spec": spec}
    zeros = dict.fromkeys(("currentHealthy", "desiredHealthy", "disruptionsAllowed", "expectedPods"), 0)
    assert (await made(api, BUDGETS, {**budget, "status": {"currentHealthy": 7}}))["status"] == zeros


# --- deletions


async def test_finalizers_hold_an_object_until_the_last_is_gone(api: Api) -> None:
    await made(api, MAPS, config_map("c", finalizers=["example.com/a"]))
    marked = (await api("DELETE", f"{MAPS}/c")).json["metadata"]
    assert marked["deletionTimestamp"] and marked["deletionGracePeriodSeconds"] == 0
    more = await api("PATCH", f"{MAPS}/c", {"metadata": {"finalizers": ["example.com/a", "example.com/b"]}}, MERGE)
    assert more.status == 422
    assert more.json["message"] == (
        'ConfigMap "c" is invalid: metadata.finalizers: Forbidden: no new finalizers can be added if the object is '
        'being deleted, found new finalizers []string{"example.com/b"}'
    )
    assert (await api("PATCH", f"{MAPS}/c?dryRun=All", {"metadata": {"finalizers": []}}, MERGE)).status == 200
    assert (await api("GET", f"{MAPS}/c")).status == 200
    assert (await api("PATCH", f"{MAPS}/c", {"metadata": {"finalizers": []}}, MERGE)).status == 200
    assert (await api("GET", f"{MAPS}/c")).status == 404


@pytest.mark.parametrize(
    ("policy", "finalizers"), [("Foreground", ["foregroundDeletion"]), ("Orphan", ["orphan"]), ("Background", None)]
)
async def test_propagation(api: Api, policy: str, finalizers: list[str] | None) -> None:
    await made(api, DEPLOYMENTS, deployment("d"))
    answer = await api("DELETE", f"{DEPLOYMENTS}/d", delete_options(propagationPolicy=policy))
    if finalizers is None:
        assert answer.json["status"] == "Success"
        assert (await api("GET", f"{DEPLOYMENTS}/d")).status == 404
    else:
        assert answer.json["metadata"]["finalizers"] == finalizers


@pytest.mark.parametrize(
    ("options", "code", "words"),
    [
        ({"preconditions": {"uid": "x"}}, 409, "the UID in the precondition (x) does not match the UID in record ("),
        ({"preconditions": {"resourceVersion": "1"}}, 409, "the ResourceVersion in the precondition (1) does not match"),
        ({"propagationPolicy": "Foo"}, 422, 'Unsupported value: "Foo": supported values: "Foreground", "Background"'),
        ({"propagationPolicy": "Orphan", "orphanDependents": True}, 422, "cannot be both set"),
        ({"kind": "Foo"}, 400, 'no kind "Foo" is registered for version "v1" in scheme'),
    ],
)  # fmt: skip
async def test_deletions_that_are_refused(api: Api, options: Obj, code: int, words: str) -> None:
    await made(api, MAPS, config_map("c"))
    for path in (f"{MAPS}/c", MAPS):
        answer = await api("DELETE", path, delete_options(**options))
        assert answer.status == code and words in answer.json["message"], answer.body
    assert (await api("GET", f"{MAPS}/c")).status == 200


async def test_a_collection_is_deleted_by_selection(api: Api) -> None:
    for name, keep in (("a", "no"), ("b", "no"), ("c", "yes")):
        await made(api, MAPS, config_map(name, labels={"keep": keep}))
    answer = await api("DELETE", f"{MAPS}?labelSelector=keep=no")
    assert (answer.status, answer.json["kind"]) == (200, "ConfigMapList")
    assert [i["metadata"]["name"] for i in (await api("GET", MAPS)).json["items"]] == ["c"]


async def test_a_pod_on_a_node_gets_its_grace(api: Api) -> None:
    await on_a_node(api, "p")

    async def grace(query: str = "") -> int:
        metadata = (await api("DELETE", f"{PODS}/p{query}")).json["metadata"]
        assert metadata["generation"] == 2
        return int(metadata["deletionGracePeriodSeconds"])

    assert await grace() == 30
    assert await grace("?gracePeriodSeconds=60") == 30, "never longer"
    assert await grace("?gracePeriodSeconds=5") == 5, "but shorter"
    assert (await api("GET", f"{PODS}/p")).status == 200
    assert await grace("?gracePeriodSeconds=0") == 0
    assert (await api("GET", f"{PODS}/p")).status == 404
    await made(api, PODS, pod("nowhere"))
    await api("DELETE", f"{PODS}/nowhere")
    assert (await api("GET", f"{PODS}/nowhere")).status == 404, "nobody has to be asked"


# --- subresources


async def test_scale(api: Api) -> None:
    await made(api, DEPLOYMENTS, deployment("d"))
    scale = (await api("GET", f"{DEPLOYMENTS}/d/scale")).json
    assert (scale["kind"], scale["spec"], scale["status"]["selector"]) == ("Scale", {"replicas": 1}, "a=b")
    assert (await api("PUT", f"{DEPLOYMENTS}/d/scale", {**scale, "spec": {"replicas": 3}})).status == 200
    assert (await api("GET", f"{DEPLOYMENTS}/d")).json["spec"]["replicas"] == 3
    assert (await api("PUT", f"{DEPLOYMENTS}/d/scale", scale)).status == 409
    nameless = await api("PUT", f"{DEPLOYMENTS}/d/scale", {**scale, "metadata": {}})
    assert nameless.json["message"] == (
        "the name of the object (d based on URL) was undeterminable: name must be provided"
    )
    assert (await api("GET", f"{MAPS}/d/scale")).status == 404


async def test_binding(api: Api) -> None:
    await on_a_node(api, "p")
    found = (await api("GET", f"{PODS}/p")).json
    assert found["spec"]["nodeName"] == "node-1"
    assert [(c["type"], c["status"]) for c in found["status"]["conditions"]] == [("PodScheduled", "True")]
    binding = {
        "apiVersion": "v1",
        "kind": "Binding",
        "metadata": {"name": "p"},
        "target": {"kind": "Node", "name": "n"},
    }
    again = await api("POST", f"{PODS}/p/binding", binding)
    assert again.status == 409 and 'pod p is already assigned to node "node-1"' in again.json["message"]


async def test_an_eviction_spends_a_disruption(api: Api) -> None:
    await made(api, PODS, pod("p", labels={"app": "p"}))
    ready = {"status": {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]}}
    await api("PATCH", f"{PODS}/p/status", ready, STRATEGIC)
    spec = {"minAvailable": 1, "selector": {"matchLabels": {"app": "p"}}}
    await made(api, BUDGETS, {"apiVersion": "policy/v1", "kind": "PodDisruptionBudget", "metadata": {"name": "b"}, "spec": spec})  # fmt: skip
    eviction = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": "p"}}
    refused = await api("POST", f"{PODS}/p/eviction", eviction)
    assert (refused.status, refused.headers["retry-after"]) == (429, "10")
    [cause] = refused.json["details"]["causes"]
    assert cause["message"] == "The disruption budget b is still being processed by the server."
    status = {"observedGeneration": 1, "currentHealthy": 1, "desiredHealthy": 1, "disruptionsAllowed": 0}
    await api("PATCH", f"{BUDGETS}/b/status", {"status": status}, MERGE)
    refused = await api("POST", f"{PODS}/p/eviction", eviction)
    assert refused.json["message"] == "Cannot evict pod as it would violate the pod's disruption budget."
    [cause] = refused.json["details"]["causes"]
    assert cause["message"] == "The disruption budget b needs 1 healthy pods and has 1 currently"
    await api("PATCH", f"{BUDGETS}/b/status", {"status": {"disruptionsAllowed": 1}}, MERGE)
    other = {**eviction, "metadata": {"name": "other"}}
    assert (await api("POST", f"{PODS}/p/eviction", other)).json["message"] == (
        "name in URL does not match name in Eviction object"
    )
    assert (await api("POST", f"{PODS}/p/eviction?dryRun=All", eviction)).status == 201
    assert (await api("POST", f"{PODS}/p/eviction", eviction)).status == 201
    assert (await api("GET", f"{PODS}/p")).status == 404
    assert (await api("GET", f"{BUDGETS}/b")).json["status"]["disruptionsAllowed"] == 0


async def test_events_are_one_store_under_two_names(api: Api) -> None:
    involved = {"kind": "Pod", "namespace": "default", "name": "q"}
    event = {
        "apiVersion": "v1", "kind": "Event", "metadata": {"name": "e"}, "involvedObject": involved, "reason": "R",
        "message": "m", "type": "Normal", "count": 2, "source": {"component": "x"},
    }  # fmt: skip
    await made(api, EVENTS, event)
    found = (await api("GET", f"{NEW_EVENTS}/e")).json
    assert (found["note"], found["deprecatedCount"], found["regarding"]) == ("m", 2, involved)
    assert "reportingController" not in found
    listed = (await api("GET", f"{NEW_EVENTS}?fieldSelector=regarding.name=q")).json["items"]
    assert [i["metadata"]["name"] for i in listed] == ["e"]
    assert (await api("GET", f"{NEW_EVENTS}?fieldSelector=regarding.name=other")).json["items"] == []


# --- bodies

BOMB = "a: &a [x,x,x,x,x,x,x,x,x]\n" + "".join(
    f"{key}: &{key} [{','.join(['*' + before] * 9)}]\n" for before, key in zip("abcdefgh", "bcdefghi", strict=True)
)


@pytest.mark.parametrize(
    ("body", "content_type", "code", "message"),
    [
        ("{", "application/json", 400, SYNTAX + "unexpected end of JSON input ({)"),
        ('{"a":' * 12_000 + "1" + "}" * 12_000, "application/json", 400,
         SYNTAX + 'invalid character \'{\' exceeded max depth ({"a":{"a":{"a":{"a":{"a":{"a": ...)'),
        ("a: b: c", YAML, 400, UNREADABLE + "yaml: mapping values are not allowed in this context (613a20623a2063)"),
        (BOMB, YAML, 400, UNREADABLE + "yaml: document contains excessive aliasing "
         f"({BOMB[:30].encode().hex()} ...)"),
        (b"nope", PROTOBUF, 400, UNREADABLE + "provided data does not appear to be a protobuf message, "
         "expected prefix [107 56 115 0] (6e6f7065)"),
        (b"k8s\x00\xff\xff\xff", PROTOBUF, 400, UNREADABLE + "unexpected EOF (6b387300ffffff)"),
        (json.dumps(config_map("x", resourceVersion="5")), "application/json", 500,
         "resourceVersion should not be set on objects to be created"),
        (json.dumps(config_map("x", {"a": "x" * 3_200_000})), "application/json", 413,
         "Request entity too large: limit is 3145728"),
    ],
    ids=["json", "depth", "yaml", "bomb", "no protobuf", "broken protobuf", "version", "large"],
)  # fmt: skip
async def test_bodies_that_are_refused(api: Api, body: Any, content_type: str, code: int, message: str) -> None:
    answer = await api("POST", MAPS, body, content_type)
    assert (answer.status, answer.json["message"]) == (code, message)


async def test_other_forms_of_a_body(api: Api) -> None:
    assert (await api("POST", MAPS, "kind: ConfigMap\nmetadata: {name: yy}\ndata: {a: b}\n", YAML)).status == 201
    metadata, data = b"\x0a\x01p", b"\x0a\x01a\x12\x01b"
    raw = b"\x0a%c%b\x12%c%b" % (len(metadata), metadata, len(data), data)
    kind = b"\x0a\x02v1\x12\x09ConfigMap"
    body = b"k8s\x00\x0a%c%b\x12%c%b" % (len(kind), kind, len(raw), raw)
    answer = await api("POST", MAPS, body, PROTOBUF)
    assert (answer.status, answer.json["metadata"]["name"], answer.json["data"]) == (201, "p", {"a": "b"})
    broken = b'{"metadata":{"name":"bad"},"data":{"a":"\xff"}}'
    assert (await api("POST", MAPS, broken)).json["data"] == {"a": "\ufffd"}
    assert (await api("POST", MAPS, config_map("x"), "text/plain")).status == 415


async def test_a_key_given_twice(api: Api) -> None:
    text = '{"metadata":{"name":"c"},"data":{"a":"1","a":"2"}}'
    warned = await api("POST", MAPS, text)
    assert (warned.status, warned.json["data"]) == (201, {"a": "2"})
    assert warned.headers["warning"] == '299 - "duplicate field \\"data.a\\""'
    strict = await api("POST", f"{MAPS}?fieldValidation=Strict", text.replace("name", "generateName"))
    assert strict.status == 400 and 'strict decoding error: duplicate field "data.a"' in strict.json["message"]


# --- over a socket


@contextlib.asynccontextmanager
async def on_a_socket(server: ApiServer) -> AsyncIterator[int]:
    sock = listen("127.0.0.1", 0)
    async with serve(server.app, [sock], grace=0.1):
        yield sock.getsockname()[1]


async def test_a_body_that_breaks_off_harms_nobody(server: ApiServer, api: Api) -> None:
    async with on_a_socket(server) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        head = f"POST {MAPS} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 1000\r\n\r\n"
        writer.write(head.encode() + b'{"metadata":')
        writer.write_eof()
        async with asyncio.timeout(60):
            await reader.read()
        writer.close()
        await writer.wait_closed()
        async with Client(HttpTransport(f"http://127.0.0.1:{port}", None)) as client:
            assert (await client.list(resource("configmaps"), "default"))["items"] == []


async def test_a_watcher_that_does_not_read_is_cut_off(
    server: ApiServer, api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It costs its backlog and no more; the others go on."""
    monkeypatch.setattr(shelves, "WATCHER_BACKLOG", 5)
    await made(api, MAPS, config_map("a"))
    shelf = server.cacher.shelf("/registry/configmaps/")
    async with on_a_socket(server) as port, Client(HttpTransport(f"http://127.0.0.1:{port}", None)) as client:
        reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=1024)
        writer.write(f"GET {MAPS}?watch=1 HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        await reader.readuntil(b'"name":"a"')
        assert len(shelf.watchers) == 1
        async with asyncio.timeout(60):
            turn = 0
            while shelf.watchers:  # as much as sockets hold, then the backlog
                turn += 1
                await client.patch(resource("configmaps"), "a", {"data": {"a": f"{turn}" * 100_000}}, "default")
        assert (await client.get(resource("configmaps"), "a", "default"))["metadata"]["name"] == "a"
        with contextlib.suppress(ConnectionResetError):
            while await reader.read(1 << 20):  # what was on its way; then it is over, though nobody had read
                pass
        writer.close()


async def test_a_pod_whose_node_is_gone(api: Api) -> None:
    """The node's name under the request's resource: so says the real one."""
    lost = pod("lost")
    lost["spec"]["nodeName"] = "nowhere"
    await made(api, PODS, lost)
    for path in ("log", "exec?command=ls&stdout=1", "attach?stdout=1", "portforward"):
        answer = await api("GET", f"{PODS}/lost/{path}")
        assert (answer.status, answer.json["message"]) == (404, 'pods "nowhere" not found')
        assert answer.json["details"] == {"name": "nowhere", "kind": "pods"}
    answer = await api("GET", "/api/v1/nodes/nowhere/proxy/healthz")
    assert answer.json["message"] == 'nodes "nowhere" not found'


async def test_selectors_that_name_an_object(api: Api) -> None:
    for name in ("a", "b"):
        await made(api, MAPS, config_map(name))

    async def listed(selector: str, target: str = MAPS) -> list[str]:
        answer = await api("GET", f"{target}?fieldSelector={selector}")
        return [item["metadata"]["name"] for item in answer.json["items"]]

    assert await listed("metadata.name%3Da") == ["a"]
    assert (
        await listed("metadata.name%3Da,metadata.name%3Db")
        == await listed("metadata.name%3Da,metadata.name!%3Da")
        == []
    )
    assert await listed("metadata.name%3Da,metadata.namespace%3Delsewhere") == []
    assert await listed("metadata.name%3Db", "/api/v1/configmaps") == ["b"]
    raw = (await api("GET", f"{MAPS}?watch=1&timeoutSeconds=1&resourceVersion=0&fieldSelector=metadata.name%3Db")).body
    assert [json.loads(line)["object"]["metadata"]["name"] for line in raw.splitlines()] == ["b"]


def test_warnings_cannot_end_a_header_and_are_cut_when_they_are_many() -> None:
    assert warned.headers(["a\nb", "ä", "ä"]) == ['299 - "ä"']
    many = warned.headers(f"{number}" + "x" * 1000 for number in range(40))
    assert len(many) == 16
    assert {len(value) for value in many} == {256 + len('299 - ""')}


async def test_a_proxy_without_a_path_sends_on_to_one_that_ends_in_a_slash(api):
    node = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": "n"},
            "status": {"addresses": [{"type": "InternalIP", "address": "127.0.0.1"}]}}  # fmt: skip
    assert (await api("POST", "/api/v1/nodes", node)).status == 201
    await answers(api, "/api/v1/nodes/n/proxy?a=b", 301)
    answer = await api("GET", "/api/v1/nodes/n/proxy?a=b")
    assert answer.headers["location"] == "/api/v1/nodes/n/proxy/?a=b"
    assert (await api("HEAD", "/api/v1/nodes/n/proxy")).status == 301
    assert (await api("HEAD", "/api/v1/nodes/n")).status == 405
    assert (await api("POST", "/api/v1/nodes/n/proxy")).status == 500  # asked for, and nobody listens


async def test_a_request_takes_no_longer_than_it_wants_to(api: Api) -> None:
    late = await api("GET", "/api/v1/namespaces?resourceVersion=99999999&timeout=1ms")
    assert (late.status, late.json["reason"]) == (504, "Timeout")
    assert late.json["message"] == "Timeout: request did not complete within the allotted timeout"
    assert (await api("GET", "/api/v1/namespaces?timeout=0s")).status == 200


@pytest.mark.parametrize("path", ["/api", "/apis", "/apis/apps", "/apis/apps/v1", "/version"])
async def test_discovery_in_no_form_that_the_client_takes(api: Api, path: str) -> None:
    assert (await api("GET", path, accept="text/html")).status == 406
    assert (await api("GET", path, accept="text/html, application/json")).status == 200


@pytest.mark.parametrize("path", ["/healthz/", "/metrics/", "/openapi/v2/", "/openapi/v3/"])
async def test_a_slash_too_many(api: Api, path: str) -> None:
    assert (await api("GET", path)).status == 404
