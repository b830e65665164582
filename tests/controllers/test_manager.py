"""The process around the controllers: names, flags, and a whole manager on a fake server and a virtual clock."""

import asyncio
from random import Random
from typing import Any

import pytest

from tests.fake_api import FakeApi
from tests.virtual_clock import VirtualClock, settle
from workshop.api.meta import name
from workshop.api.resources import resource
from workshop.client.rest import Client
from workshop.controllers import manager, options
from workshop.controllers.__main__ import main
from workshop.controllers.credentials import AccountTransport
from workshop.controllers.health import HealthApp
from workshop.controllers.run import ControllerManager

PODS = "/api/v1/namespaces/default/pods"


def test_upstreams_names_are_all_known() -> None:
    names = [d.name for d in manager.DESCRIPTORS] + list(manager.NOT_YET)
    assert len(set(names)) == len(names) == 49


def test_which_controllers_run() -> None:
    chosen = {d.name for d in manager.chosen(["*", "-job-controller"])}
    assert "deployment-controller" in chosen
    assert "job-controller" not in chosen
    assert [d.name for d in manager.chosen(["job-controller"])] == ["job-controller"]
    assert manager.chosen(["selinux-warning-controller"]) == []
    with pytest.raises(manager.UnknownController, match='"nope" is not in the list of known controllers'):
        manager.chosen(["*", "nope"])


def test_flags_as_the_real_ones() -> None:
    given = options.parse(
        [
            "--controllers=*,-job-controller",
            "--leader-elect=false",
            "--allocate-node-cidrs",
            "--cluster-cidr=10.0.0.0/16",
            "--concurrent-deployment-syncs=7",
            "--node-monitor-grace-period=1m",
            "--requestheader-client-ca-file=x",
        ]
    )
    assert given.controllers == ("*", "-job-controller")
    assert (given.leader_elect, given.node_monitor_grace_period) == (False, 60.0)
    assert (given.workers("deployment"), given.workers("replicaset")) == (7, 5)


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["--no-such-flag"], "unknown flag: --no-such-flag"),
        (["--controllers=nope", "--kubeconfig=x"], '"nope" is not in the list of known controllers'),
        (["--allocate-node-cidrs"], "--allocate-node-cidrs needs --cluster-cidr"),
    ],
)
def test_bad_flags_end_with_one_line(argv: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    try:
        status = main(argv)
    except SystemExit as error:
        status = int(error.code or 0)
    assert status == 1
    assert capsys.readouterr().err.strip() == f"Error: {message}"


class Managed:
    """A manager that runs `controllers` against a fake server."""

    def __init__(self, api: FakeApi, *controllers: str) -> None:
        self.clock = VirtualClock()
        self.client = api.client(clock=self.clock)
        settings = options.Options(controllers=controllers, leader_elect=False)
        self.manager = ControllerManager(self.client, None, settings, self.clock, Random(1))

    async def __aenter__(self) -> "Managed":
        self._task = asyncio.ensure_future(self.manager.run())
        await self.clock.advance(1)
        return self

    async def __aexit__(self, *_: object) -> None:
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)
        await self.client.close()


def replica_set(replicas: int) -> dict[str, Any]:
    labels = {"app": "web"}
    template = {"metadata": {"labels": labels}, "spec": {"containers": [{"name": "c", "image": "i"}]}}
    metadata = {"name": "web", "namespace": "default", "generation": 1}
    return {
        "metadata": metadata,
        "spec": {"replicas": replicas, "selector": {"matchLabels": labels}, "template": template},
    }


async def test_a_replica_set_of_500_gets_just_500_and_a_lost_one_is_replaced() -> None:
    api = FakeApi()
    async with Managed(api, "replicaset-controller") as m:
        sets = "/apis/apps/v1/namespaces/default/replicasets"
        api.put(sets, replica_set(500))
        for _ in range(60):
            await m.clock.advance(0.1)
        found = [p for p in api.objects if p.startswith(PODS)]
        assert len(found) == 500
        status_writes = [r for r in api.requests if r == ("PUT", f"{sets}/web/status")]
        assert len(status_writes) < 60
        assert api.objects[f"{sets}/web"]["status"]["replicas"] == 500
        api.remove(found[7])
        for _ in range(10):
            await m.clock.advance(0.1)
        assert len([p for p in api.objects if p.startswith(PODS)]) == 500
        reasons = {o["reason"] for p, o in api.objects.items() if "/events/" in p}
        assert reasons == {"SuccessfulCreate"}


async def test_an_orphan_is_adopted_not_doubled() -> None:
    api = FakeApi()
    labels = {"app": "web"}
    api.put(PODS, {"metadata": {"name": "lone", "namespace": "default", "labels": labels}, "spec": {}})
    api.put("/apis/apps/v1/namespaces/default/replicasets", replica_set(1))
    async with Managed(api, "replicaset-controller") as m:
        await m.clock.advance(1)
        assert [p for p in api.objects if p.startswith(PODS)] == [f"{PODS}/lone"]
        assert api.objects[f"{PODS}/lone"]["metadata"]["ownerReferences"][0]["name"] == "web"


async def test_a_deployment_makes_a_replica_set_that_makes_pods() -> None:
    api = FakeApi()
    async with Managed(api, "deployment-controller", "replicaset-controller") as m:
        wanted = replica_set(3)
        wanted["spec"] |= {"strategy": {"type": "RollingUpdate"}, "progressDeadlineSeconds": 600}
        api.put("/apis/apps/v1/namespaces/default/deployments", wanted)
        for _ in range(20):
            await m.clock.advance(0.1)
        made = next(o for p, o in api.objects.items() if "/replicasets/" in p)
        assert made["metadata"]["annotations"]["deployment.kubernetes.io/revision"] == "1"
        hashed = made["metadata"]["labels"]["pod-template-hash"]
        assert name(made) == f"web-{hashed}"
        pods = [o for p, o in api.objects.items() if p.startswith(PODS)]
        assert [p["metadata"]["labels"] for p in pods] == [{"app": "web", "pod-template-hash": hashed}] * 3
        d = api.objects["/apis/apps/v1/namespaces/default/deployments/web"]
        assert (d["status"]["replicas"], d["status"]["unavailableReplicas"]) == (3, 3)
        assert d["metadata"]["annotations"]["deployment.kubernetes.io/revision"] == "1"


async def test_a_silent_node_loses_its_pods_after_fifty_seconds_and_five_minutes() -> None:
    api = FakeApi()
    condition = {"type": "Ready", "status": "True", "lastHeartbeatTime": "x"}
    for i in range(3):
        body = {"metadata": {"name": f"n{i}", "labels": {}}, "spec": {}, "status": {"conditions": [dict(condition)]}}
        api.put("/api/v1/nodes", body)
    toleration = {"key": "node.kubernetes.io/unreachable", "operator": "Exists", "effect": "NoExecute"}
    spec = {"nodeName": "n0", "tolerations": [{**toleration, "tolerationSeconds": 300}]}
    api.put(PODS, {"metadata": {"name": "web", "namespace": "default"}, "spec": spec, "status": {"phase": "Running"}})
    leases = "/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases"
    async with Managed(api, "node-lifecycle-controller", "taint-eviction-controller") as m:

        async def pass_seconds(seconds: int) -> None:
            for t in range(0, seconds, 10):
                for i in (1, 2):
                    api.put(
                        leases,
                        {
                            "metadata": {"name": f"n{i}", "namespace": "kube-node-lease"},
                            "spec": {"renewTime": f"{m.clock.now()}{t}"},
                        },
                    )
                await m.clock.advance(10)

        await pass_seconds(50)
        assert "taints" not in api.objects["/api/v1/nodes/n0"]["spec"]
        await pass_seconds(20)
        silent = api.objects["/api/v1/nodes/n0"]
        assert silent["status"]["conditions"][0]["status"] == "Unknown"
        assert [t["effect"] for t in silent["spec"]["taints"]] == ["NoSchedule", "NoExecute"]
        await pass_seconds(280)
        assert f"{PODS}/web" in api.objects
        await pass_seconds(40)
        assert f"{PODS}/web" not in api.objects
        assert api.objects["/api/v1/nodes/n1"]["spec"] == {}


async def test_each_controller_shows_its_own_token_and_fetches_it_once() -> None:
    api, clock = FakeApi(), VirtualClock()
    asked: list[str] = []
    seen: list[str] = []

    class Manager:
        async def create(self, res: Any, obj: Any, namespace: str, *, name: str, subresource: str) -> Any:
            asked.append(name)
            return {"status": {"token": f"token-{len(asked)}", "expirationTimestamp": "2027-01-15T09:00:00Z"}}

    async def app(scope: Any, receive: Any, send: Any) -> None:
        seen.append(dict(scope["headers"])[b"authorization"].decode())
        await api(scope, receive, send)

    from workshop.client.asgi import AsgiTransport

    transport = AccountTransport(AsgiTransport(app), Manager(), "job-controller", clock)  # type: ignore[arg-type]
    client = Client(transport, clock=clock)
    await asyncio.gather(client.list(resource("pods")), client.list(resource("pods")))
    await clock.advance(0.8 * 3600 + 1)
    await client.list(resource("pods"))
    assert asked == ["job-controller"] * 2
    assert seen == ["Bearer token-1", "Bearer token-1", "Bearer token-2"]


async def test_the_health_port() -> None:
    client_of = HealthApp(lambda: [("up", "Is it up", {'name="a"': 1.0})])
    from workshop.client.asgi import AsgiTransport

    async with Client(AsgiTransport(client_of)) as client:
        assert await client.request("GET", "/healthz") == "ok"
        assert 'up{name="a"} 1' in await client.request("GET", "/metrics")
    await settle()


async def test_what_is_deleted_is_free_again_in_the_quota_at_once() -> None:
    """Of a kind that nobody but the quota names."""
    api = FakeApi()
    verbs = ["create", "delete", "get", "list", "patch", "update", "watch"]
    maps = {"resource": "configmaps", "responseKind": {"kind": "ConfigMap"}, "scope": "Namespaced", "verbs": verbs}
    group = {"metadata": {}, "versions": [{"version": "v1", "resources": [maps]}]}
    api.objects["/api"] = {"kind": "APIGroupDiscoveryList", "metadata": {}, "items": [group]}
    api.objects["/apis"] = {"kind": "APIGroupDiscoveryList", "metadata": {}, "items": []}
    collection = "/api/v1/namespaces/default/configmaps"
    for one in ("a", "b"):
        api.put(collection, {"metadata": {"name": one, "namespace": "default"}})
    quotas = "/api/v1/namespaces/default/resourcequotas"
    hard = {"count/configmaps": "5"}
    api.put(quotas, {"metadata": {"name": "q", "namespace": "default"}, "spec": {"hard": hard}})
    async with Managed(api, "resourcequota-controller") as m:
        await m.clock.advance(1)
        assert api.objects[f"{quotas}/q"]["status"]["used"] == {"count/configmaps": "2"}
        api.remove(f"{collection}/a")
        await m.clock.advance(0.1)
        assert api.objects[f"{quotas}/q"]["status"]["used"] == {"count/configmaps": "1"}
