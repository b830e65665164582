"""When a probe is tried and when it counts, as upstream's workers do it; on a virtual clock."""

from __future__ import annotations

import asyncio

import pytest

from tests.virtual_clock import VirtualClock, settle
from workshop.kubelet import cri
from workshop.kubelet.dial import http
from workshop.kubelet.prober import RELIST, Prober
from workshop.kubelet.probes import Settings, first_try

POD = {"metadata": {"name": "p", "namespace": "default", "uid": "u"}, "spec": {}}
EXEC = {"exec": {"command": ["true"]}, "periodSeconds": 10}


class Late:
    """A runtime whose program fails its first probes; notes when it was tried."""

    def __init__(self, clock: VirtualClock, failures: int) -> None:
        self.clock, self.left, self.tried = clock, failures, []

    async def exec_sync(self, container_id, command, timeout):
        self.tried.append(self.clock.now())
        self.left -= 1
        return cri.ExecResult(b"", b"", 1 if self.left >= 0 else 0)


class Scene:
    """One container that has just started, in a pod that came three seconds ago."""

    def __init__(self, failures: int, **probes) -> None:
        self.clock = VirtualClock()
        self.begun = self.clock.now()
        self.runtime = Late(self.clock, failures)
        self.unhealthy, self.changed = [], []
        self.prober = Prober(
            self.runtime,
            self.clock,
            lambda port: port,
            lambda pod, reason, message, name: self.unhealthy.append(f"{reason}: {message}"),
            self.changed.append,
        )
        self.container = {"name": "c", **probes}
        self.status = cri.ContainerStatus("c", "s", "c", 0, cri.RUNNING, self.begun, started_at=self.begun)
        self.look()

    def look(self) -> None:
        """What the pod's worker does at each sync."""
        added = self.begun - 3
        self.prober.watch(POD, self.container, self.status, "127.0.0.1", added=added)

    @property
    def tries(self) -> list[float]:
        return [round(when - self.begun, 3) for when in self.runtime.tried]


async def test_an_early_failure_of_readiness_counts_and_costs_a_period() -> None:
    scene = Scene(1, readinessProbe=EXEC)
    await scene.clock.advance(9)
    assert (scene.tries, scene.unhealthy, scene.prober.ready) == (
        [RELIST],
        ["Unhealthy: Readiness probe failed: "],
        {"c": False},
    )
    await scene.clock.advance(2)
    assert (scene.tries, scene.changed, scene.prober.ready) == ([RELIST, RELIST + 10], ["u"], {"c": True})
    await scene.prober.close()


async def test_a_sync_tries_the_readiness_of_a_container_that_is_not_ready_at_once() -> None:
    scene = Scene(1, readinessProbe=EXEC)
    await scene.clock.advance(2)
    scene.look()
    await settle()
    assert (scene.tries, scene.prober.ready) == ([RELIST, 2.0], {"c": True})
    scene.look()  # it is ready: a sync tries nothing now
    await scene.clock.advance(9)
    assert scene.tries == [RELIST, 2.0]
    await scene.clock.advance(2)  # the ticker was set anew by the try in between
    assert scene.tries == [RELIST, 2.0, 12.0]
    await scene.prober.close()


async def test_liveness_and_startup_tick_from_the_moment_when_the_pod_came() -> None:
    scene = Scene(0, livenessProbe=EXEC, startupProbe=EXEC)
    await scene.clock.advance(6.9)
    assert scene.tries == []
    await scene.clock.advance(0.2)
    assert scene.tries[0] == 7.0 and scene.prober.started == {"c": True}
    await scene.clock.advance(10)
    assert 17.0 in scene.tries and scene.prober.liveness_failed == set()
    await scene.prober.close()


async def test_an_initial_delay_is_waited_out_tick_by_tick() -> None:
    scene = Scene(0, livenessProbe={**EXEC, "initialDelaySeconds": 8})
    await scene.clock.advance(16.9)
    assert scene.tries == []  # the tick at 7 was too early
    await scene.clock.advance(0.2)
    assert scene.tries == [17.0]
    await scene.prober.close()


async def test_a_startup_probe_that_fails_early_may_end_the_container() -> None:
    scene = Scene(1, startupProbe={**EXEC, "periodSeconds": 1, "failureThreshold": 1})
    await scene.clock.advance(1.1)
    assert (scene.tries, scene.prober.startup_failed) == ([1.0], {"c"})
    await scene.prober.close()


async def test_a_new_kubelet_believes_what_the_old_one_said_until_a_probe_says_otherwise() -> None:
    scene = Scene(9, readinessProbe={**EXEC, "failureThreshold": 1}, startupProbe=EXEC)
    await scene.prober.close()
    scene.prober.forget("c")
    scene.prober._random.seed(1)  # when in its period the first tick falls
    told = {"started": True, "ready": True}
    scene.prober.watch(POD, scene.container, scene.status, "127.0.0.1", added=scene.begun, told=told)
    assert (scene.prober.started, scene.prober.ready) == ({"c": True}, {"c": True})
    await scene.clock.advance(10.1)
    assert scene.prober.ready == {"c": False} and len(scene.tries) == 1  # the startup probe is not tried again
    await scene.prober.close()


@pytest.mark.parametrize(
    ("path", "ok", "said"),
    [
        ("/fine", True, ""),
        ("/here", False, "HTTP probe failed with statuscode: 500"),  # a redirect on the same host is followed
        ("/away", True, "Probe terminated redirects, Response body: gone"),
        ("/round", False, "stopped after 10 redirects"),
    ],
)
async def test_an_http_probe_and_redirects(path: str, ok: bool, said: str) -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked = (await reader.readuntil(b"\r\n\r\n")).decode()
        assert "X-Mine: 1" in asked and "Host: web.example" in asked
        at = asked.split()[1]
        to = {"/here": "/bad", "/away": "http://other.example/", "/round": "/round"}.get(at)
        code = {"/fine": "200 OK", "/bad": "500 No"}.get(at, "302 Found")
        location = f"Location: {to}\r\n" if to else ""
        writer.write(f"HTTP/1.1 {code}\r\n{location}Content-Length: 4\r\n\r\ngone".encode())
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    async with server:
        headers = [{"name": "X-Mine", "value": "1"}, {"name": "Host", "value": "web.example"}]
        port = server.sockets[0].getsockname()[1]
        result = await http("127.0.0.1", port, {"path": path, "httpHeaders": headers}, 60)
    assert result.ok is ok and said in (result.output or result.warning)


@pytest.mark.parametrize(
    ("kind", "now", "chance", "expected"),
    [
        ("readiness", 103.0, None, 103.5),
        ("liveness", 103.0, None, 110.0),
        ("liveness", 110.0, None, 120.0),  # that tick has just gone by
        ("startup", 134.0, None, 140.0),
        ("readiness", 103.0, 0.25, 105.5),
    ],
)
def test_the_first_try(kind: str, now: float, chance: float | None, expected: float) -> None:
    assert first_try(kind, Settings(period=10), now, added=100.0, chance=chance, relist=0.5) == expected
