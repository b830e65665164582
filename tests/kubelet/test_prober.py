"""When a probe counts."""

from __future__ import annotations

import asyncio

from workshop.clock import SYSTEM
from workshop.kubelet import cri
from workshop.kubelet.prober import Prober

POD = {"metadata": {"name": "p", "namespace": "default", "uid": "u"}, "spec": {}}


class Late:
    """A runtime whose program fails its first probes."""

    def __init__(self, failures: int) -> None:
        self.left = failures

    async def exec_sync(self, container_id, command, timeout):
        self.left -= 1
        return cri.ExecResult(b"", b"", 1 if self.left >= 0 else 0)


async def test_a_program_that_just_starts_does_not_cost_a_whole_period():
    told, ready = [], asyncio.Event()
    prober = Prober(Late(2), SYSTEM, lambda port: port, lambda *what: told.append(what), lambda uid: ready.set())
    now = SYSTEM.now()
    status = cri.ContainerStatus("c", "s", "c", 0, cri.RUNNING, now, started_at=now)
    container = {"name": "c", "readinessProbe": {"exec": {"command": ["true"]}, "periodSeconds": 60}}
    prober.watch(POD, container, status, "127.0.0.1", restarted=False)
    async with asyncio.timeout(5):
        await ready.wait()
    assert prober.ready == {"c": True} and told == []
    await prober.close()
