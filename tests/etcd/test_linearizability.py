"""The checker on histories that are known to be good or bad; then on what real processes do under faults."""

from __future__ import annotations

import asyncio
import os
from math import inf
from pathlib import Path
from random import Random

import grpc
import pytest

from tests.etcd.linearizability import links
from tests.etcd.linearizability.checker import Operation, check, is_linearizable, step
from tests.etcd.linearizability.members import Member, Members
from tests.etcd.linearizability.recorder import Campaign, run
from workshop.wire import etcd_pb2 as pb


def op(client: int, kind: str, called: float, returned: float, **fields: object) -> Operation:
    return Operation(client, kind, "k", called, returned, **fields)  # type: ignore[arg-type]


GOOD = {
    "one after the other": [
        op(1, "put", 0, 1, value="a"), op(2, "get", 2, 3, result="a"), op(1, "delete", 4, 5, result=True),
        op(2, "get", 6, 7, result=None),
    ],
    "reads while a write is open see either": [
        op(1, "put", 0, 1, value="a"), op(1, "put", 2, 9, value="b"), op(2, "get", 3, 4, result="a"),
        op(3, "get", 5, 6, result="b"),
    ],
    "a write without an answer happened later": [
        op(1, "put", 0, 1, value="a"), op(2, "put", 2, inf, value="b"), op(3, "get", 3, 4, result="a"),
        op(3, "get", 8, 9, result="b"),
    ],
    "a write without an answer never happened": [
        op(1, "put", 0, 1, value="a"), op(2, "put", 2, inf, value="b"), op(3, "get", 3, 9, result="a"),
    ],
    "of two that compare only one wins": [
        op(1, "put", 0, 1, value="a"), op(2, "cas", 2, 5, expected="a", value="b", result=True),
        op(3, "cas", 2, 5, expected="a", value="c", result=False), op(1, "get", 6, 7, result="b"),
    ],
}  # fmt: skip
BAD = {
    "a stale read": [
        op(1, "put", 0, 1, value="a"), op(1, "put", 2, 3, value="b"), op(2, "get", 4, 5, result="a"),
    ],
    "a lost write": [op(1, "put", 0, 1, value="a"), op(2, "get", 2, 3, result=None)],
    "a write applied twice": [
        op(1, "put", 0, 1, value="a"), op(2, "put", 2, 3, value="b"), op(3, "get", 4, 5, result="b"),
        op(3, "get", 6, 7, result="a"),
    ],
    "a read of the future": [op(1, "get", 0, 1, result="a"), op(2, "put", 2, 3, value="a")],
    "time goes back between two reads of one open write": [
        op(1, "put", 0, 1, value="a"), op(1, "put", 2, 9, value="b"), op(2, "get", 3, 4, result="b"),
        op(3, "get", 5, 6, result="a"),
    ],
    "two that compare both win": [
        op(1, "put", 0, 1, value="a"), op(2, "cas", 2, 5, expected="a", value="b", result=True),
        op(3, "cas", 2, 5, expected="a", value="c", result=True),
    ],
    "a value that nobody wrote": [op(1, "put", 0, 1, value="a"), op(2, "get", 0, 2, result="z")],
    "an unanswered write is seen, and then undone": [
        op(1, "put", 0, 1, value="a"), op(2, "put", 2, inf, value="b"), op(3, "get", 3, 4, result="b"),
        op(3, "get", 5, 6, result="a"),
    ],
}  # fmt: skip


@pytest.mark.parametrize("name", GOOD)
def test_good_histories(name: str) -> None:
    assert check(GOOD[name]) == []


@pytest.mark.parametrize("name", BAD)
def test_bad_histories(name: str) -> None:
    [wrong] = check(BAD[name])
    assert wrong.startswith("k: no order explains")


def test_revisions_must_follow_time() -> None:
    first, second = op(1, "put", 0, 1, value="a", revision=5), op(2, "put", 2, 3, value="b", revision=4)
    assert "a later write has an earlier revision" in check([first, second])[0]
    assert "two writes have one revision" in check([first, second._replace(revision=5, called=0.5)])[0]
    assert check([first, second._replace(called=0.5)]) == []


def simulated(seed: int, clients: int = 6, length: int = 120) -> list[Operation]:
    """Clients of a correct register, whose operations take effect somewhere between call and return."""
    random, state, history = Random(seed), None, []
    free_at = [0.0] * clients
    moment = 0.0
    for number in range(length):
        client = random.randrange(clients)
        moment = max(moment, free_at[client]) + random.random()
        kind = random.choice(["get", "put", "delete", "cas"])
        tried = Operation(client, kind, "k", moment - random.random(), inf, f"v{number}", random.choice([state, "v0"]))
        tried = tried._replace(called=max(tried.called, free_at[client]))
        result: object = {"get": state, "delete": state is not None, "cas": state == tried.expected}.get(kind)
        _, state = step(state, tried)
        free_at[client] = moment + random.random() * 3
        answered = random.random() < 0.95
        history.append(tried._replace(returned=free_at[client] if answered else inf, result=result))
    return history


@pytest.mark.parametrize("seed", range(20))
def test_what_a_correct_register_does_is_accepted_and_a_changed_answer_is_not(seed: int) -> None:
    history = simulated(seed)
    assert is_linearizable(history)
    reads = [i for i, one in enumerate(history) if one.kind == "get" and one.returned != inf]
    broken = list(history)
    broken[reads[-1]] = broken[reads[-1]]._replace(result="never written")
    assert not is_linearizable(broken)


@pytest.mark.parametrize("faults", [["kill"], ["stop"]], ids=lambda faults: faults[0])
async def test_one_member_under_faults(faults: list[str], tmp_path: Path) -> None:
    campaign = Campaign(members=1, clients=5, keys=3, seconds=3.0, operations=200, faults=faults, seed=1)
    history = await run(campaign, tmp_path)
    answered = [op for op in history if op.returned != inf]
    assert len(answered) > 100 and {op.kind for op in answered} == {"get", "put", "delete", "cas"}
    assert check(history) == []


@pytest.mark.skipif(not links.possible(), reason="no root, no network namespaces")
async def test_a_member_in_a_namespace_is_cut_off_and_comes_back(tmp_path: Path) -> None:
    async with Members.running("ours", 3, tmp_path, "namespaces") as members:

        async def leader(member: Member) -> int:
            async with grpc.aio.insecure_channel(member.client) as channel:
                answer = await channel.unary_unary("/etcdserverpb.Maintenance/Status")(b"", timeout=60)
                return int(pb.StatusResponse.FromString(answer).leader)

        async def until(member: Member, led: bool) -> None:
            async with asyncio.timeout(60):
                while bool(await leader(member)) != led:  # noqa: ASYNC110  another process
                    await asyncio.sleep(0.05)

        alone, *others = members.all
        for member in members.all:
            await until(member, True)
        for other in others:
            members.links.cut(alone.name, other.name)
            members.links.cut(other.name, alone.name)
        await until(alone, False)
        for other in others:
            await until(other, True)
        members.links.mend()
        await until(alone, True)
    assert not list(links.NAMES.glob(f"{links.PREFIX}{os.getpid()}*"))


async def test_three_members_under_all_faults(tmp_path: Path) -> None:
    faults = ["kill", "stop", "partition"]
    campaign = Campaign(members=3, clients=6, keys=3, seconds=6.0, operations=150, faults=faults, seed=2)
    history = await run(campaign, tmp_path)
    assert sum(op.returned != inf for op in history) > 100
    assert check(history) == []
