"""Consensus and state machine as one: leases and leadership, a snapshot in the place of the state, proposals of old terms."""

from __future__ import annotations

import asyncio
from random import Random

import pytest

from workshop.clock import SYSTEM
from workshop.etcd import encode, errors, state
from workshop.etcd.lease import Lessor
from workshop.etcd.mvcc.watch import WatchHub
from workshop.etcd.raft import Configuration, Entry, Options, Raft
from workshop.etcd.replica import Replica
from workshop.etcd.waiting import Readers, Waiting
from workshop.wire import etcd_pb2 as pb


def replica(id: int = 1, size: int = 1) -> Replica:
    voters = Configuration(frozenset(range(1, size + 1)))
    raft = Raft(id, voters, Random(id), options=Options(pre_vote=False))
    return Replica(raft, state.StateMachine(id, Lessor(min_ttl=1)), extend=1.0)


def put(key: bytes, value: bytes = b"", request: int = 0) -> bytes:
    return state.encode_command(state.PUT, request, pb.PutRequest(key=key, value=value).SerializeToString())


def work(one: Replica, now: float = 0.0) -> None:
    while ready := one.ready():
        for entry in ready.committed:
            one.apply(entry, now)
        one.raft.advance(ready)


def test_only_the_leader_counts_and_a_new_one_gives_every_lease_its_whole_time() -> None:
    one = replica()
    lessor = one.machine.lessor
    lessor.grant(7, 10, 0.0)
    assert lessor.expired(1e9) == [], "a follower lets nothing run out"
    one.raft.campaign()
    work(one, now=100.0)
    assert one.leads and lessor.expired(110.9) == [] and lessor.expired(111.1) == [7]
    one.raft.become("follower", 9)
    work(one)
    assert not one.leads and lessor.leases[7].remaining(1e9) == 10


def test_a_renewal_begins_the_time_anew() -> None:
    lessor = Lessor(min_ttl=1)
    lessor.grant(7, 10, 0.0)
    assert lessor.renew(7, 9.0) == 10
    assert lessor.expired(18.9) == [] and lessor.expired(19.1) == [7]


def test_watches_go_on_over_a_snapshot_without_gap_or_repetition() -> None:
    leader, follower = replica(1), replica(2)
    leader.raft.campaign()
    leader.raft.propose([put(b"a", b"%d" % i) for i in range(5)])
    work(leader)
    hub = WatchHub(follower.machine.store, encode.Header(1, 2), 1 << 20)
    follower.machine.on_change, follower.machine.on_replace = hub.notify, hub.resync
    stream = hub.open(lambda: None)
    hub.create(stream, pb.WatchCreateRequest(key=b"a", prev_kv=True))
    for index, i in enumerate(range(3), 1):  # it has seen revisions 2, 3 and 4 when it falls behind
        follower.apply(Entry(1, index, put(b"a", b"%d" % i)), 0.0)
    follower.install(leader.machine.snapshot(leader.applied, 1), 0.0)
    follower.apply(Entry(1, leader.applied + 1, put(b"a", b"5")), 0.0)
    told = []
    while stream.outbox:
        told += list(pb.WatchResponse.FromString(stream.take()).events)
        if stream.behind and not stream.outbox:
            hub.catch_up(stream)
    assert [event.kv.mod_revision for event in told] == [2, 3, 4, 5, 6, 7]
    assert [event.prev_kv.value for event in told] == [b"", b"0", b"1", b"2", b"3", b"4"]


def test_a_snapshot_brings_members_leases_and_alarms() -> None:
    one, other = replica(1), replica(2)
    machine = one.machine
    machine.apply(state.MEMBER_ADD, pb.Member(ID=5, peerURLs=["http://h:1"], isLearner=True), 0.0)
    machine.apply(state.LEASE_GRANT, pb.LeaseGrantRequest(ID=7, TTL=60), 0.0)
    machine.apply(state.PUT, pb.PutRequest(key=b"k", lease=7), 0.0)
    machine.apply(state.ALARM, pb.AlarmRequest(action=1, alarm=pb.NOSPACE, memberID=5), 0.0)
    other.machine.apply(state.PUT, pb.PutRequest(key=b"gone"), 0.0)
    other.install(machine.snapshot(4, 1), 0.0)
    assert other.machine.cluster.configuration() == Configuration(frozenset(), frozenset({5}))
    assert other.machine.lessor.leases[7].keys == {b"k"} and other.machine.alarms == {pb.NOSPACE: {5}}
    assert other.machine.store.get(b"gone") is None and other.machine.store.hash() == machine.store.hash()


async def test_what_a_lost_leader_took_is_proposed_again_and_done_once() -> None:
    one = replica(1, size=3)
    waiting = Waiting(1, SYSTEM, 5.0)
    one.raft.term, one.raft.leader = 1, 2
    future = waiting.add(state.PUT, pb.PutRequest(key=b"a"), b"", False, state.ANYONE)
    waiting.send(one.raft, again=False)
    assert [m.kind for m in one.raft.ready().messages] == ["propose"]
    waiting.send(one.raft, again=False)
    assert not one.raft.ready().messages, "once is enough while that leader leads"

    one.raft.become("follower", 2)
    one.raft.leader = 3
    waiting.settle(1)
    waiting.send(one.raft, again=False)
    assert not one.raft.ready().messages, "the first entry of the same term settles nothing"
    waiting.settle(2)
    waiting.send(one.raft, again=False)
    sent = one.raft.ready().messages
    assert [(m.kind, m.to, m.term) for m in sent] == [("propose", 3, 2)]
    request = state.decode_command(sent[0].entries[0].data)[1]
    waiting.answer(request, state.Applied(2, b""))
    assert (await future).revision == 2
    waiting.settle(3)
    waiting.send(one.raft, again=False)
    assert not one.raft.ready().messages


async def test_after_a_snapshot_nobody_knows_so_nothing_is_proposed_again() -> None:
    one = replica(1, size=3)
    waiting = Waiting(1, SYSTEM, 5.0)
    one.raft.term, one.raft.leader = 1, 2
    waiting.add(state.PUT, pb.PutRequest(key=b"a"), b"", False, state.ANYONE)
    waiting.send(one.raft, again=False)
    one.raft.ready()
    waiting.unsettled()
    waiting.settle(2)
    assert not waiting.unsent(one.raft)


async def test_readers_share_a_round_and_those_who_come_later_wait_for_the_next() -> None:
    readers = Readers()
    first = [asyncio.ensure_future(readers.join(9.0)) for _ in range(3)]
    await asyncio.sleep(0)
    request = readers.next()
    later = asyncio.ensure_future(readers.join(9.0))
    await asyncio.sleep(0)
    assert readers.next() == 0
    readers.confirmed(request, 5)
    readers.applied(4)
    await asyncio.sleep(0)
    assert not any(one.done() for one in first)
    readers.applied(5)
    await asyncio.gather(*first)
    assert not later.done() and readers.wants_round()
    readers.fail(errors.LeaderChanged)
    assert readers.next() > request
    readers.fail(errors.LeaderChanged)
    with pytest.raises(errors.LeaderChanged):
        await later
