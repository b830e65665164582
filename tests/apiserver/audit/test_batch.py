"""Audit records in batches, and the webhook that gets them."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from tests.virtual_clock import HastyClock, VirtualClock
from workshop.api import codec
from workshop.apiserver.audit.backends import Backends
from workshop.apiserver.audit.batch import Batching, Limits, Webhook
from workshop.apiserver.options import parser
from workshop.apiserver.webhooks.remote import NoAnswer
from workshop.serving import listen, serve


class Receiver:
    """Remembers batches; fails with what stands in `failures` first."""

    def __init__(self, *failures: NoAnswer) -> None:
        self.batches: list[Any] = []
        self.failures = list(failures)

    async def take(self, events: Sequence[Any]) -> None:
        self.batches.append(list(events))

    async def send(self, obj: Any) -> bytes:
        self.batches.append(obj)
        if self.failures:
            raise self.failures.pop(0)
        return b"{}"


async def batching(receiver: Receiver, limits: Limits, clock: VirtualClock) -> tuple[Batching, asyncio.Task[None]]:
    made = Batching(receiver.take, limits, clock)
    task = asyncio.create_task(made.run())
    await clock.advance(0)
    return made, task


async def ended(task: asyncio.Task[None]) -> None:
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def test_a_batch_goes_when_it_is_full_or_its_time_has_come() -> None:
    receiver, clock = Receiver(), VirtualClock()
    made, task = await batching(receiver, Limits(batch=2, wait=30.0), clock)
    for number in range(3):
        made.put({"n": number})
    await clock.advance(0)
    assert receiver.batches == [[{"n": 0}, {"n": 1}]]
    await clock.advance(31)
    assert receiver.batches[1:] == [[{"n": 2}]]
    await ended(task)


async def test_what_waits_at_the_end_is_sent_and_what_does_not_fit_is_dropped() -> None:
    receiver = Receiver()
    made = Batching(receiver.take, Limits(buffer=2, batch=10), VirtualClock())
    for number in range(3):
        made.put({"n": number})
    assert made.dropped == 1
    await made.close()
    assert receiver.batches == [[{"n": 0}, {"n": 1}]]


async def test_the_throttle() -> None:
    receiver, clock = Receiver(), VirtualClock()
    made, task = await batching(receiver, Limits(batch=1, per_second=1.0, burst=2), clock)
    for number in range(4):
        made.put({"n": number})
    await clock.advance(0)
    assert len(receiver.batches) == 2
    await clock.advance(1.5)
    assert len(receiver.batches) == 3
    await ended(task)


async def test_the_webhook_gets_a_list_and_is_asked_again() -> None:
    receiver = Receiver(NoAnswer("503: busy", again=True))
    await Webhook(receiver, HastyClock()).send([{"kind": "Event", "apiVersion": "audit.k8s.io/v1", "auditID": "a"}])  # type: ignore[arg-type]
    assert len(receiver.batches) == 2
    assert receiver.batches[0] == {
        "kind": "EventList", "apiVersion": "audit.k8s.io/v1", "metadata": {}, "items": [{"auditID": "a"}],
    }  # fmt: skip
    lost = Receiver(NoAnswer("400: no", again=False))
    await Webhook(lost, HastyClock()).send([{}])  # type: ignore[arg-type]
    assert len(lost.batches) == 1


async def test_flags_lead_to_a_server(tmp_path: Path) -> None:
    """Over a real connection: policy, kubeconfig, the path of its URL."""
    got: asyncio.Queue[Any] = asyncio.Queue()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        message = await receive()
        got.put_nowait((scope["path"], codec.loads(message["body"])))
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    socket = listen("127.0.0.1", 0)
    policy, kubeconfig = tmp_path / "policy.yaml", tmp_path / "hook.conf"
    policy.write_text("apiVersion: audit.k8s.io/v1\nkind: Policy\nrules: [{level: Metadata}]")
    cluster = {"server": f"http://127.0.0.1:{socket.getsockname()[1]}/records"}
    kubeconfig.write_text(
        yaml.safe_dump({
            "apiVersion": "v1", "kind": "Config", "current-context": "c", "users": [{"name": "u", "user": {}}],
            "clusters": [{"name": "c", "cluster": cluster}],
            "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u"}}],
        })
    )  # fmt: skip
    given = [f"--audit-policy-file={policy}", f"--audit-webhook-config-file={kubeconfig}"]
    async with serve(app, [socket], None):
        backends = Backends(parser().parse_args(given), HastyClock())
        assert backends.recording
        backends.write({"auditID": "a"})
        await backends.close()
        path, told = await got.get()
    assert path == "/records"
    assert told["items"] == [{"auditID": "a"}]
