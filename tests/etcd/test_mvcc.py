"""The store against a model that keeps a whole copy of every revision."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from workshop.etcd import encode, errors
from workshop.etcd.lease import Lessor
from workshop.etcd.mvcc import operations
from workshop.etcd.mvcc.key_index import Record
from workshop.etcd.mvcc.store import Store
from workshop.etcd.mvcc.watch import ROOM, WatchHub
from workshop.etcd.snapshot import Snapshot, decode
from workshop.etcd.snapshot import encode as encode_snapshot
from workshop.etcd.state import StateMachine
from workshop.wire import etcd_pb2 as pb

KEYS = st.sampled_from([b"a", b"b", b"c", b"ca", b"d"])
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("put"), KEYS, st.binary(max_size=3)),
        st.tuples(st.just("delete"), KEYS, st.just(b"")),
        st.tuples(st.just("compact"), st.integers(0, 40), st.just(b"")),
    ),
    max_size=40,
)
Model = dict[int, dict[bytes, tuple[bytes, int, int, int]]]  # revision -> key -> value, create, mod, version


def play(steps: list[Any]) -> tuple[Store, Model]:
    store = Store()
    model: Model = {1: {}}
    for step, key, value in steps:
        if step == "compact":
            try:
                store.compact(key)
            except (errors.Compacted, errors.FutureRevision):
                assert key <= store.compacted or key > store.revision
            store.scrub(key % 5)
            continue
        now = dict(model[store.revision])
        revision = store.revision + 1
        if step == "put":
            _, create, _, version = now.get(key, (b"", revision, 0, 0))
            now[key] = (value, create, revision, version + 1)
            store.put(key, value)
        elif key in now:
            del now[key]
            store.delete(key)
        if store.commit():
            model[store.revision] = now
    return store, model


def seen(store: Store, revision: int, key: bytes = b"\x00", end: bytes | None = b"") -> dict[bytes, Any]:
    records, count = store.range(key, end, revision)
    assert count == len(records)
    return {r.key: (store.value(r), r.create, r.main, r.version) for r in records}


@settings(max_examples=150, deadline=None)
@given(STEPS)
def test_every_revision_that_is_kept_reads_as_it_was(steps: list[Any]) -> None:
    store, model = play(steps)
    for revision in range(max(store.compacted, 1), store.revision + 1):
        assert seen(store, revision) == model[revision]
        for key in (b"a", b"c"):
            assert seen(store, revision, key, None) == {k: v for k, v in model[revision].items() if k == key}
        assert seen(store, revision, b"b", b"d") == {k: v for k, v in model[revision].items() if b"b" <= k < b"d"}


@settings(max_examples=100, deadline=None)
@given(STEPS)
def test_a_snapshot_restores_the_same_store(steps: list[Any]) -> None:
    store, model = play(steps)
    machine = StateMachine(1, Lessor(), store)
    again = StateMachine(1, Lessor())
    again.restore(decode(encode_snapshot(machine.snapshot(5, 1))), 0.0)
    assert isinstance(machine.snapshot(5, 1), Snapshot)
    assert (again.store.revision, again.store.compacted) == (store.revision, store.compacted)
    assert again.store.hash() == store.hash() and again.store.size == store.size
    for revision in range(max(store.compacted, 1), store.revision + 1):
        assert seen(again.store, revision) == model[revision]


@settings(max_examples=100, deadline=None)
@given(STEPS, st.integers(1, 40))
def test_a_watch_from_the_past_and_one_from_then_on_hear_the_same(steps: list[Any], start: int) -> None:
    store, _ = play([step for step in steps if step[0] != "compact"])
    live = Store()
    hub = WatchHub(live, encode.Header(1, 1), 1 << 20)
    stream = hub.open(lambda: None)
    hub.create(stream, pb.WatchCreateRequest(key=b"\x00", range_end=b"\x00", start_revision=start, prev_kv=True))
    for step, key, value in steps:
        if step != "compact":
            live.put(key, value) if step == "put" else live.delete(key)
            hub.notify(live.commit())
    late = WatchHub(store, encode.Header(1, 1), 1 << 20)
    past = late.open(lambda: None)
    late.create(past, pb.WatchCreateRequest(key=b"\x00", range_end=b"\x00", start_revision=start, prev_kv=True))
    assert heard(stream) == heard(past)


def heard(stream: Any) -> list[bytes]:
    events: list[bytes] = []
    while stream.outbox:
        events += [event.SerializeToString() for event in pb.WatchResponse.FromString(stream.take()).events]
    return events


def test_a_slow_stream_falls_behind_and_misses_nothing() -> None:
    store = Store()
    hub = WatchHub(store, encode.Header(1, 1), 1 << 20)
    stream = hub.open(lambda: None)
    hub.create(stream, pb.WatchCreateRequest(key=b"a"))
    for _ in range(8):
        store.put(b"a", b"x" * 400_000)
        hub.notify(store.commit())
    assert stream.behind and stream.waiting_bytes < ROOM + 500_000
    hub.request_progress(stream)
    revisions, progress = [], []
    while stream.outbox:
        answer = pb.WatchResponse.FromString(stream.take())
        revisions += [event.kv.mod_revision for event in answer.events]
        if answer.watch_id == -1:
            progress.append((answer.header.revision, len(revisions)))
        if stream.behind and not stream.outbox:
            hub.catch_up(stream)
    assert revisions == list(range(2, 10))
    assert progress == [(9, 8)], "progress only after every event of the stream"


def test_a_watch_that_is_behind_is_canceled_by_compaction() -> None:
    store = Store()
    hub = WatchHub(store, encode.Header(1, 1), 1 << 20)
    for _ in range(5):
        store.put(b"a", b"x")
        hub.notify(store.commit())
    store.compact(4)
    stream = hub.open(lambda: None)
    hub.create(stream, pb.WatchCreateRequest(key=b"a", start_revision=2))
    created, canceled = (pb.WatchResponse.FromString(stream.take()) for _ in range(2))
    assert created.created and not created.canceled
    assert canceled.canceled and canceled.compact_revision == 4
    assert not stream.watchers


def test_fragments_hold_all_events_and_only_the_last_says_that_it_is() -> None:
    store = Store()
    hub = WatchHub(store, encode.Header(1, 1), 1000)
    stream = hub.open(lambda: None)
    hub.create(stream, pb.WatchCreateRequest(key=b"\x00", range_end=b"\x00", fragment=True))
    stream.take()
    for i in range(10):
        store.put(b"%d" % i, b"x" * 300)
    hub.notify(store.commit())
    answers = [pb.WatchResponse.FromString(stream.take()) for _ in range(len(stream.outbox))]
    assert len(answers) > 1
    assert [answer.fragment for answer in answers] == [True] * (len(answers) - 1) + [False]
    assert [event.kv.key for answer in answers for event in answer.events] == [b"%d" % i for i in range(10)]


def test_compaction_as_the_worked_example_says() -> None:
    def build() -> Store:
        store = Store()
        store.revision = 0
        changes: list[Callable[[], Any]] = [
            lambda: store.put(b"k", b"1"),
            lambda: store.put(b"k", b"2"),
            lambda: store.delete(b"k"),
            lambda: store.put(b"k", b"4"),
            lambda: store.delete(b"k"),
            lambda: store.put(b"other", b""),
            lambda: store.put(b"other", b""),
        ]
        for change in changes:
            change()
            store.commit()
        return store

    def left(revision: int) -> list[int]:
        store = build()
        store.compact(revision)
        assert len(store.index(b"k") or ()) == 5, "only marked"
        while store.littered:
            store.scrub(1)
        kept = [*store.live.values(), *store.ended.values()]
        assert len(store.history) == sum(len(index) for index in kept)
        return [record.main for record in store.index(b"k") or ()]

    assert [left(revision) for revision in (2, 3, 4, 6)] == [[2, 3, 4, 5], [3, 4, 5], [4, 5], []]


@given(st.integers(-(2**63), 2**63 - 1), st.binary(max_size=300), st.integers(0, 2**40))
def test_encoding_is_protobuf(lease: int, value: bytes, revision: int) -> None:
    record = Record.put(b"key", revision, 0, revision, 1, value, lease)
    body = encode.inner_header(revision) + record.kv + encode.number(3, True) + encode.number(4, 1)
    kv = pb.KeyValue(key=b"key", create_revision=revision, mod_revision=revision, version=1, value=value, lease=lease)
    header = pb.ResponseHeader(revision=revision)
    assert pb.RangeResponse.FromString(body) == pb.RangeResponse(header=header, kvs=[kv], more=True, count=1)
    event = pb.WatchResponse.FromString(encode.event(True, record.kv, record.kv)).events[0]
    assert event == pb.Event(type=pb.Event.DELETE, kv=kv, prev_kv=kv)


def test_a_refused_transaction_changes_nothing() -> None:
    machine = StateMachine(1, Lessor())
    put = pb.RequestOp(request_put=pb.PutRequest(key=b"a", value=b"1"))
    bad = pb.RequestOp(request_put=pb.PutRequest(key=b"b", value=b"1", lease=99))
    from workshop.etcd.state import TXN

    with pytest.raises(errors.LeaseNotFound):
        machine.apply(TXN, pb.TxnRequest(success=[put, bad]), 0.0)
    assert machine.store.revision == 1 and not machine.store.live
    nested = pb.RequestOp(request_txn=pb.TxnRequest(success=[put]))
    with pytest.raises(errors.DuplicateKey):
        operations.check_txn_form(pb.TxnRequest(success=[nested, put]), 128)
