import asyncio
import json

from tests import ports
from tests.virtual_clock import StillClock
from workshop.proxy import health
from workshop.proxy.rules import HealthCheck
from workshop.proxy.service_health import ServiceHealth


def test_unhealthy_until_rules_were_applied():
    state = health.State(StillClock(1_000_000_000.0))
    assert health.answer(state, "/healthz")[0] == 503
    state.updated = 999_999_990.0
    status, _, body = health.answer(state, "/healthz")
    assert status == 200
    assert json.loads(body) == {"lastUpdated": "2001-09-09T01:46:30Z", "currentTime": "2001-09-09T01:46:40Z"}


def test_metrics_count():
    _, _, body = health.answer(health.State(StillClock(1_000_000_000.0), syncs=3, rules=2), "/metrics")
    assert "kubeproxy_sync_proxy_rules_total 3\n" in body
    assert "kubeproxy_userspace_listeners 2\n" in body


def test_unknown_paths():
    assert health.answer(health.State(StillClock(1_000_000_000.0)), "/x")[0] == 404


async def test_a_load_balancer_is_told_how_many_endpoints_are_here():
    async def ask(port):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
        head, _, body = (await asyncio.wait_for(reader.read(), 60)).decode().partition("\r\n\r\n")
        writer.close()
        return head.splitlines()[0].split()[1], json.loads(body), "X-Load-Balancing-Endpoint-Weight: 2" in head

    key, port = ("default", "web"), ports.free_port()
    checks = ServiceHealth("127.0.0.1", lambda: True)
    assert await checks.apply({key: HealthCheck(port, 2)}) == {}
    service = {"namespace": "default", "name": "web"}
    told = {"service": service, "localEndpoints": 2, "serviceProxyHealthy": True}
    assert await ask(port) == ("200", told, True)
    await checks.apply({key: HealthCheck(port, 0)})
    assert (await ask(port))[0] == "503"
    other = ServiceHealth("127.0.0.1", lambda: True)
    problem = (await other.apply({key: HealthCheck(port, 0)}))[key]
    assert problem.startswith(f'failed to start healthcheck "default/web" on port {port}: listen tcp 127.0.0.1')
    await checks.close()
