"""Audit records in batches, and the webhook that gets them."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.ports import free_port
from tests.virtual_clock import HastyClock, VirtualClock
from workshop.api import codec
from workshop.apiserver.audit.backends import Backends, Unrecorded, fit
from workshop.apiserver.audit.batch import Batching, Limits, Webhook
from workshop.apiserver.options import parse, parser
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
    with pytest.raises(ConnectionError, match="400: no"):
        await Webhook(lost, HastyClock()).send([{}])  # type: ignore[arg-type]
    assert len(lost.batches) == 1


def kubeconfig_of(port: int, folder: Path) -> Path:
    cluster, path = {"server": f"http://127.0.0.1:{port}/records"}, folder / "hook.conf"
    path.write_text(
        yaml.safe_dump({
            "apiVersion": "v1", "kind": "Config", "current-context": "c", "users": [{"name": "u", "user": {}}],
            "clusters": [{"name": "c", "cluster": cluster}],
            "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u"}}],
        })
    )  # fmt: skip
    return path


def backends(folder: Path, port: int, *flags: str) -> Backends:
    policy = folder / "policy.yaml"
    policy.write_text("apiVersion: audit.k8s.io/v1\nkind: Policy\nrules: [{level: Metadata}]")
    given = [f"--audit-policy-file={policy}", f"--audit-webhook-config-file={kubeconfig_of(port, folder)}", *flags]
    made = Backends(parser().parse_args(given), HastyClock())
    assert made.recording
    return made


EVENT: dict[str, Any] = {"auditID": "a", "level": "RequestResponse", "stage": "RequestReceived"}


@pytest.mark.parametrize("mode", ["batch", "blocking"])
async def test_flags_lead_to_a_server(mode: str, tmp_path: Path) -> None:
    """Over a real connection: policy, kubeconfig, the path of its URL. Who blocks has sent when `write` returns."""
    got: list[Any] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        message = await receive()
        got.append((scope["path"], codec.loads(message["body"])))
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    socket = listen("127.0.0.1", 0)
    async with serve(app, [socket], None):
        made = backends(tmp_path, socket.getsockname()[1], f"--audit-webhook-mode={mode}")
        await made.write(EVENT)
        assert len(got) == (mode == "blocking")
        await made.close()
    [(path, told)] = got
    assert (path, told["items"]) == ("/records", [EVENT])
    assert "apiserver_audit_event_total 1" in made.metrics()


async def test_a_webhook_that_is_away_is_waited_for_or_demanded(tmp_path: Path) -> None:
    nobody = free_port()
    blocking = backends(tmp_path, nobody, "--audit-webhook-mode=blocking")
    await blocking.write(EVENT)
    assert 'apiserver_audit_error_total{plugin="webhook"} 1' in blocking.metrics()
    strict = backends(tmp_path, nobody, "--audit-webhook-mode=blocking-strict")
    with pytest.raises(Unrecorded):
        await strict.write(EVENT)
    assert "apiserver_audit_requests_rejected_total 1" in strict.metrics()
    for each in (blocking, strict):
        await each.close()


def test_a_record_that_is_too_long_loses_what_was_said() -> None:
    long = {**EVENT, "requestObject": {"data": "x" * 500}, "annotations": {"a": "b"}}
    assert fit(long, 1000) is long
    assert fit(long, 300) == {**EVENT, "annotations": {"a": "b", "audit.k8s.io/truncated": "true"}}
    assert fit(long, 20) is None
    assert fit({**long, "level": "Metadata"}, 300) is None


@pytest.mark.parametrize(
    ("flag", "said"),
    [
        ("--audit-webhook-mode=never", 'invalid audit webhook mode never, allowed modes are "batch,blocking,blocking-strict"'),
        ("--audit-log-version=v2", "invalid group version, allowed versions are"),
        ("--audit-webhook-batch-max-size=0", "invalid audit batch webhook max batch size 0, must be a positive number"),
    ],
)  # fmt: skip
def test_flags_that_cannot_be(flag: str, said: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        parse(["--etcd-servers=http://a:1", "--tls-cert-file=c", "--tls-private-key-file=k", flag])
    assert said in capsys.readouterr().err
