"""Members that do not hold the same data are found, and nothing is written any more."""

from __future__ import annotations

from typing import Any

import pytest

from workshop.etcd import errors, state
from workshop.etcd.corruption import PATH, CorruptionCheck, Hash, suspects
from workshop.etcd.lease import Lessor
from workshop.etcd.state import StateMachine
from workshop.wire import etcd_pb2 as pb

OWN = Hash(hash=1, revision=10, compacted=3, current=12)


@pytest.mark.parametrize(
    ("other", "suspect"),
    [
        (OWN, False),
        (OWN._replace(current=10), False),
        (OWN._replace(hash=2), True),
        (OWN._replace(hash=2, compacted=2), False),  # cannot be compared: compacted at another revision
        (OWN._replace(compacted=4), True),  # nobody compacts before the leader
        (OWN._replace(current=13), True),  # nobody knows more than the leader
    ],
)
def test_who_is_suspect(other: Hash, suspect: bool) -> None:
    assert suspects(OWN, {7: other}) == ([7] if suspect else [])


class FakeNode:
    """A member without a network: what it proposes is applied at once."""

    def __init__(self, id: int, peers: list[int]) -> None:
        self.machine = StateMachine(id, Lessor())
        self.raft = self.cluster = self
        self.id, self.members, self.leads = id, peers, True

    async def read_barrier(self) -> None:
        pass

    async def propose(self, kind: int, request: Any) -> None:
        self.machine.apply(kind, request, 0.0)


class Wires:
    """The transport between checks of several members."""

    def __init__(self) -> None:
        self.checks: dict[int, CorruptionCheck] = {}

    async def request(self, member: int, method: str, path: str, body: bytes) -> tuple[int, bytes]:
        if member not in self.checks:
            raise ConnectionError(f"there is no member {member}")
        return await self.checks[member].routes()[method, path]("", body)


def members(count: int) -> tuple[list[FakeNode], list[CorruptionCheck]]:
    wires: Any = Wires()
    nodes = [FakeNode(id, list(range(1, count + 1))) for id in range(1, count + 1)]
    for node in nodes:
        for i in range(20):
            node.machine.apply(state.PUT, pb.PutRequest(key=b"k%d" % (i % 5), value=b"%d" % i), 0.0)
        wires.checks[node.id] = CorruptionCheck(node, wires)  # type: ignore[arg-type]
    return nodes, list(wires.checks.values())


async def test_a_member_that_differs_gets_an_alarm_and_the_cluster_takes_no_more() -> None:
    nodes, checks = members(3)
    assert await checks[0].check() == []
    lost = nodes[2].machine.store.get(b"k3")
    assert lost is not None
    lost.kv = lost.kv.replace(b"18", b"81")
    assert await checks[0].check() == [3]
    assert nodes[0].machine.alarms == {pb.CORRUPT: {3}}
    with pytest.raises(errors.CorruptCluster):
        nodes[0].machine.apply(state.PUT, pb.PutRequest(key=b"a"), 0.0)
    assert await checks[2].differs_from_others() and not await CorruptionCheck(nodes[0], Wires()).differs_from_others()  # type: ignore[arg-type]


async def test_members_that_are_behind_or_away_are_not_suspect() -> None:
    nodes, checks = members(2)
    nodes[0].machine.apply(state.PUT, pb.PutRequest(key=b"later"), 0.0)
    nodes[0].members.append(9)
    assert await checks[0].check() == []


async def test_what_is_no_question_is_refused() -> None:
    _, [check] = members(1)
    for body in (b"", b"{}", b"[1]", b'{"revision": 1000}'):
        status, _ = await check.routes()["POST", PATH]("", body)
        assert status == 400
