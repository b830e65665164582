"""Events are counted, merged and bounded, and never in anybody's way."""

import asyncio

from tests.fake_api import FakeApi
from tests.virtual_clock import VirtualClock
from workshop.client.event_series import Correlator, Occurrence
from workshop.client.events import BUFFER, Recorder

POD = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "web", "namespace": "default", "uid": "u"}}
EVENTS = "/api/v1/namespaces/default/events"


def said(message: str, subject: str = "web") -> Occurrence:
    return Occurrence((subject,), "Normal", "Pulled", message)


def test_the_same_again_is_counted() -> None:
    correlator = Correlator()
    first = correlator.correlate(said("a"), 0.0)
    assert first is not None
    assert first.count == 1
    assert correlator.correlate(said("a"), 5.0) is first
    assert first.count == 2


def test_ten_alike_are_combined() -> None:
    correlator = Correlator()
    shown = [correlator.correlate(said(f"message {i}"), float(i)) for i in range(12)]
    texts = [w.occurrence.message for w in shown if w is not None]
    assert texts[8] == "message 8"
    assert shown[9] is shown[10] is shown[11]
    assert texts[9] == "(combined from similar events): message 11"


def test_one_object_may_be_spoken_of_25_times_then_every_5_minutes() -> None:
    correlator = Correlator()
    assert all(correlator.correlate(said("a"), 0.0) for _ in range(25))
    assert correlator.correlate(said("a"), 0.0) is None
    assert correlator.correlate(said("a", "other"), 0.0) is not None
    assert correlator.correlate(said("a"), 299.0) is None
    assert correlator.correlate(said("a"), 601.0) is not None


async def test_written_in_the_background_and_again_as_a_patch() -> None:
    api = FakeApi()
    recorder = Recorder(api.client(), "kubelet", host="n1", clock=VirtualClock())
    task = asyncio.ensure_future(recorder.run())
    for _ in range(3):
        recorder.event(POD, "Normal", "Pulled", "pulled it", field_path="spec.containers{c}")
    await asyncio.wait_for(recorder.flush(), 60)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    (event,) = [obj for path, obj in api.objects.items() if path.startswith(EVENTS)]
    assert (event["count"], event["message"], event["source"]) == (
        3,
        "pulled it",
        {"component": "kubelet", "host": "n1"},
    )
    assert event["involvedObject"]["fieldPath"] == "spec.containers{c}"
    assert [method for method, _ in api.requests] == ["POST", "PATCH", "PATCH"]


async def test_a_flood_is_dropped_not_kept() -> None:
    recorder = Recorder(FakeApi().client(), "kubelet", clock=VirtualClock())
    for i in range(BUFFER + 50):
        recorder.event(POD, "Normal", "Pulled", str(i))
    assert len(recorder._pending) == BUFFER
