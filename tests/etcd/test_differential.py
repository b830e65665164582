"""The same questions to ours and to Debian's etcd, fresh both: every answer and every refusal must be the same.

What is compared is the whole answer, without the ids and the term of its header. `QUESTIONS` are the corners that
somebody thought of; the generated ones are those that nobody did.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from random import Random
from typing import Any

import grpc
import pytest

from tests.etcd_servers import KINDS, running
from workshop.wire import etcd_pb2 as pb

Question = tuple[str, Any]

R, P, D, T = pb.RangeRequest, pb.PutRequest, pb.DeleteRangeRequest, pb.TxnRequest
C = pb.Compare
FAR = 1 << 40


def op(request: Any) -> Any:
    name = {R: "range", P: "put", D: "delete_range", T: "txn"}[type(request)]
    return pb.RequestOp(**{f"request_{name}": request})


def puts(count: int) -> list[Any]:
    return [op(P(key=b"many/%d" % i, value=b"x")) for i in range(count)]


def nested(depth: int) -> Any:
    inner = T(success=[op(P(key=b"deep", value=b"x"))])
    for _ in range(depth):
        inner = T(success=[op(inner)])
    return inner


QUESTIONS: list[Question] = [
    # Ranges
    ("KV/Range", R()),
    ("KV/Range", R(key=b"k1")),
    ("KV/Range", R(range_end=b"k9")),
    ("KV/Range", R(key=b"k9", range_end=b"k1")),
    ("KV/Range", R(key=b"k1", range_end=b"k1")),
    ("KV/Range", R(key=b"\0", range_end=b"\0")),
    ("KV/Range", R(key=b"k2", range_end=b"\0")),
    ("KV/Range", R(key=b"k1", range_end=b"k9", limit=-1)),
    ("KV/Range", R(key=b"k1", range_end=b"k9", limit=2, keys_only=True)),
    ("KV/Range", R(key=b"k1", range_end=b"k9", count_only=True, limit=1)),
    ("KV/Range", R(key=b"k1", range_end=b"k9", revision=3)),
    ("KV/Range", R(key=b"k1", range_end=b"k9", revision=-5)),
    ("KV/Range", R(key=b"k1", revision=FAR)),
    *(
        ("KV/Range", R(key=b"k1", range_end=b"k9", sort_order=order, sort_target=target, limit=limit))
        for order in range(3) for target in range(5) for limit in (0, 2)
    ),
    ("KV/Range", R(key=b"k1", range_end=b"k9", min_mod_revision=3, max_mod_revision=4)),
    ("KV/Range", R(key=b"k1", range_end=b"k9", min_create_revision=3, limit=1)),
    ("KV/Range", R(key=b"k1", range_end=b"k9", max_create_revision=3, count_only=True)),
    ("KV/Range", R(key=b"k1", range_end=b"k9", max_create_revision=3, sort_order=2, sort_target=3, keys_only=True)),
    # Puts
    ("KV/Put", P()),
    ("KV/Put", P(value=b"x")),
    ("KV/Put", P(key=b"none", ignore_value=True)),
    ("KV/Put", P(key=b"none", ignore_lease=True)),
    ("KV/Put", P(key=b"k1", value=b"x", ignore_value=True)),
    ("KV/Put", P(key=b"k1", lease=7, ignore_lease=True)),
    ("KV/Put", P(key=b"k1", lease=12345)),
    ("KV/Put", P(key=b"k1", lease=-3)),
    ("KV/Put", P(key=b"big", value=b"x" * 1_572_800)),
    ("KV/Put", P(key=b"big", value=b"x" * 1_600_000)),
    ("KV/Put", P(key=b"big", value=b"x" * 2_200_000)),
    ("KV/Put", P(key=b"k1", value=b"new", prev_kv=True)),
    ("KV/Put", P(key=b"k1", ignore_value=True, prev_kv=True)),
    ("KV/Put", P(key=b"leased", value=b"a", lease=77)),
    ("KV/Put", P(key=b"leased", value=b"b", ignore_lease=True)),
    ("KV/Range", R(key=b"leased")),
    # Deletions
    ("KV/DeleteRange", D()),
    ("KV/DeleteRange", D(key=b"none")),
    ("KV/DeleteRange", D(key=b"k9", range_end=b"k1")),
    ("KV/DeleteRange", D(key=b"k2", prev_kv=True)),
    ("KV/DeleteRange", D(key=b"k3", range_end=b"k4", prev_kv=True)),
    # Transactions
    ("KV/Txn", T()),
    ("KV/Txn", T(compare=[C()])),
    ("KV/Txn", T(success=[pb.RequestOp()])),
    ("KV/Txn", T(failure=[pb.RequestOp()])),
    ("KV/Txn", T(success=[op(P())])),
    ("KV/Txn", T(failure=[op(R())])),
    ("KV/Txn", T(success=[op(D())])),
    ("KV/Txn", T(success=[op(P(key=b"d")), op(P(key=b"d"))])),
    ("KV/Txn", T(success=[op(P(key=b"d"))], failure=[op(P(key=b"d"))])),
    ("KV/Txn", T(success=[op(P(key=b"d")), op(D(key=b"d"))])),
    ("KV/Txn", T(success=[op(D(key=b"a", range_end=b"z")), op(P(key=b"d"))])),
    ("KV/Txn", T(success=[op(D(key=b"d")), op(D(key=b"d"))])),
    ("KV/Txn", T(success=[op(T(success=[op(P(key=b"d"))])), op(P(key=b"d"))])),
    ("KV/Txn", T(success=[op(T(success=[op(P(key=b"d"))], failure=[op(P(key=b"d"))]))])),
    ("KV/Txn", T(success=[op(T(success=[op(D(key=b"a", range_end=b"z"))])), op(P(key=b"d"))])),
    ("KV/Txn", T(success=[op(T(success=[op(P(key=b"d"))])), op(T(success=[op(P(key=b"d"))]))])),
    ("KV/Txn", T(success=puts(128))),
    ("KV/Txn", T(success=puts(129))),
    ("KV/Txn", T(failure=puts(129))),
    ("KV/Txn", T(compare=[C(key=b"x")] * 129)),
    ("KV/Txn", nested(3)),
    ("KV/Txn", T(success=[op(P(key=b"t", ignore_value=True))])),
    ("KV/Txn", T(success=[op(P(key=b"t", value=b"1", ignore_value=True))])),
    ("KV/Txn", T(success=[op(P(key=b"t", lease=9, ignore_lease=True))])),
    ("KV/Txn", T(success=[op(P(key=b"t", lease=12345))])),
    ("KV/Txn", T(success=[op(R(key=b"t", revision=FAR))])),
    ("KV/Txn", T(success=[op(R(key=b"k1")), op(P(key=b"k1", value=b"in")), op(R(key=b"k1"))])),
    *(
        ("KV/Txn", T(compare=[C(key=key, target=target, result=result, **{field: value})], success=[op(R(key=b"k1"))]))
        for key in (b"k1", b"none", b"leased")
        for target, field, value in (
            (0, "version", 1), (1, "create_revision", 2), (2, "mod_revision", 3), (3, "value", b"in"), (4, "lease", 77),
        )
        for result in range(4)
    ),
    ("KV/Txn", T(compare=[C(key=b"k1", range_end=b"k9", target=0, result=1, version=0)])),
    ("KV/Txn", T(compare=[C(key=b"none", range_end=b"nonf", target=3, value=b"")])),
    ("KV/Txn", T(compare=[C(key=b"none", range_end=b"nonf", target=0, version=0)])),
    ("KV/Txn", T(compare=[C(key=b"k1", target=3)])),
    ("KV/Txn", T(compare=[C(key=b"k1", target=0, result=3)])),
    # Leases
    ("Lease/LeaseGrant", pb.LeaseGrantRequest(TTL=100, ID=77)),
    ("Lease/LeaseGrant", pb.LeaseGrantRequest(TTL=0, ID=78)),
    ("Lease/LeaseGrant", pb.LeaseGrantRequest(TTL=-1, ID=79)),
    ("Lease/LeaseGrant", pb.LeaseGrantRequest(TTL=9_000_000_001, ID=80)),
    ("Lease/LeaseGrant", pb.LeaseGrantRequest(TTL=50, ID=-4)),
    ("Lease/LeaseRevoke", pb.LeaseRevokeRequest(ID=4242)),
    ("Lease/LeaseRevoke", pb.LeaseRevokeRequest()),
    ("Lease/LeaseTimeToLive", pb.LeaseTimeToLiveRequest(ID=4242)),
    ("Lease/LeaseTimeToLive", pb.LeaseTimeToLiveRequest(ID=77, keys=True)),
    ("Lease/LeaseRevoke", pb.LeaseRevokeRequest(ID=77)),
    ("KV/Range", R(key=b"leased")),
    ("Lease/LeaseLeases", pb.LeaseLeasesRequest()),
    # Compaction
    ("KV/Compact", pb.CompactionRequest(revision=FAR)),
    ("KV/Compact", pb.CompactionRequest(revision=4, physical=True)),
    ("KV/Compact", pb.CompactionRequest(revision=4)),
    ("KV/Compact", pb.CompactionRequest(revision=-1)),
    ("KV/Range", R(key=b"k1", range_end=b"k9", revision=3)),
    ("KV/Range", R(key=b"k1", range_end=b"k9", revision=4)),
    ("KV/Txn", T(success=[op(P(key=b"c", value=b"x")), op(R(key=b"k1", revision=2))])),
    ("KV/Range", R(key=b"c")),
    ("Maintenance/HashKV", pb.HashKVRequest()),
    ("Maintenance/HashKV", pb.HashKVRequest(revision=FAR)),
    ("Maintenance/HashKV", pb.HashKVRequest(revision=2)),
    # Members and alarms
    ("Cluster/MemberRemove", pb.MemberRemoveRequest(ID=5)),
    ("Cluster/MemberUpdate", pb.MemberUpdateRequest(ID=5, peerURLs=["http://127.0.0.1:1"])),
    ("Cluster/MemberPromote", pb.MemberPromoteRequest(ID=5)),
    ("Cluster/MemberAdd", pb.MemberAddRequest(peerURLs=["nonsense"])),
    ("Maintenance/MoveLeader", pb.MoveLeaderRequest(targetID=5)),
    ("Maintenance/Alarm", pb.AlarmRequest(action=pb.AlarmRequest.ACTIVATE, memberID=9, alarm=pb.NOSPACE)),
    ("KV/Put", P(key=b"full", value=b"x")),
    ("KV/Txn", T(success=[op(P(key=b"full", value=b"x"))])),
    ("KV/Txn", T(success=[op(D(key=b"full"))])),
    ("Lease/LeaseGrant", pb.LeaseGrantRequest(TTL=50, ID=81)),
    ("KV/DeleteRange", D(key=b"many/1")),
    ("Maintenance/Alarm", pb.AlarmRequest(action=pb.AlarmRequest.GET)),
    ("Maintenance/Alarm", pb.AlarmRequest(action=pb.AlarmRequest.GET, alarm=pb.CORRUPT)),
    ("Maintenance/Alarm", pb.AlarmRequest(action=pb.AlarmRequest.DEACTIVATE, memberID=9, alarm=pb.NOSPACE)),
    ("Maintenance/Alarm", pb.AlarmRequest(action=pb.AlarmRequest.DEACTIVATE, memberID=9, alarm=pb.NOSPACE)),
    ("Maintenance/Alarm", pb.AlarmRequest(action=pb.AlarmRequest.ACTIVATE, memberID=9, alarm=pb.CORRUPT)),
    ("KV/Put", P(key=b"corrupt", value=b"x")),
    ("KV/Range", R(key=b"k1")),
    ("Maintenance/Alarm", pb.AlarmRequest(action=pb.AlarmRequest.DEACTIVATE, memberID=9, alarm=pb.CORRUPT)),
    # Users and roles
    ("Auth/AuthEnable", pb.AuthEnableRequest()),
    ("Auth/AuthDisable", pb.AuthDisableRequest()),
    ("Auth/Authenticate", pb.AuthenticateRequest(name="a", password="b")),
    ("Auth/UserAdd", pb.AuthUserAddRequest()),
    ("Auth/UserAdd", pb.AuthUserAddRequest(name="u", password="p")),
    ("Auth/UserAdd", pb.AuthUserAddRequest(name="u", password="p")),
    ("Auth/UserAdd", pb.AuthUserAddRequest(name="n", options=pb.UserAddOptions(no_password=True))),
    ("Auth/UserGet", pb.AuthUserGetRequest(name="x")),
    ("Auth/UserDelete", pb.AuthUserDeleteRequest(name="x")),
    ("Auth/UserChangePassword", pb.AuthUserChangePasswordRequest(name="x", password="p")),
    ("Auth/UserGrantRole", pb.AuthUserGrantRoleRequest(user="x", role="r")),
    ("Auth/UserGrantRole", pb.AuthUserGrantRoleRequest(user="u", role="r")),
    ("Auth/RoleAdd", pb.AuthRoleAddRequest()),
    ("Auth/RoleAdd", pb.AuthRoleAddRequest(name="r")),
    ("Auth/RoleAdd", pb.AuthRoleAddRequest(name="r")),
    ("Auth/RoleGet", pb.AuthRoleGetRequest(role="x")),
    ("Auth/RoleDelete", pb.AuthRoleDeleteRequest(role="x")),
    ("Auth/UserGrantRole", pb.AuthUserGrantRoleRequest(user="u", role="r")),
    ("Auth/UserGrantRole", pb.AuthUserGrantRoleRequest(user="u", role="r")),
    ("Auth/UserRevokeRole", pb.AuthUserRevokeRoleRequest(name="u", role="x")),
    ("Auth/UserGet", pb.AuthUserGetRequest(name="u")),
    ("Auth/RoleGrantPermission", pb.AuthRoleGrantPermissionRequest(name="x", perm=pb.Permission(key=b"a"))),
    ("Auth/RoleGrantPermission", pb.AuthRoleGrantPermissionRequest(name="r", perm=pb.Permission(key=b"b"))),
    (
        "Auth/RoleGrantPermission",
        pb.AuthRoleGrantPermissionRequest(name="r", perm=pb.Permission(permType=2, key=b"a", range_end=b"c")),
    ),
    ("Auth/RoleGet", pb.AuthRoleGetRequest(role="r")),
    ("Auth/RoleRevokePermission", pb.AuthRoleRevokePermissionRequest(role="r", key=b"zz")),
    ("Auth/RoleRevokePermission", pb.AuthRoleRevokePermissionRequest(role="x", key=b"a")),
    ("Auth/RoleRevokePermission", pb.AuthRoleRevokePermissionRequest(role="r", key=b"b")),
    ("Auth/UserList", pb.AuthUserListRequest()),
    ("Auth/RoleList", pb.AuthRoleListRequest()),
    ("Auth/RoleDelete", pb.AuthRoleDeleteRequest(role="r")),
    ("Auth/UserGet", pb.AuthUserGetRequest(name="u")),
    ("Auth/UserAdd", pb.AuthUserAddRequest(name="root", password="p")),
    ("Auth/AuthEnable", pb.AuthEnableRequest()),
    ("Maintenance/Nothing", pb.StatusRequest()),
    ("Nothing/Nothing", pb.StatusRequest()),
]  # fmt: skip

FIRST: list[Question] = [
    *(("KV/Put", P(key=b"k%d" % i, value=b"%d" % (9 - i))) for i in range(1, 6)),
    ("KV/Put", P(key=b"k2", value=b"two")),
    ("Lease/LeaseGrant", pb.LeaseGrantRequest(TTL=100, ID=77)),
]


class Asked:
    """A server and how to ask it."""

    def __init__(self, endpoint: str) -> None:
        options = [("grpc.max_receive_message_length", -1)]
        self.channel = grpc.aio.insecure_channel(endpoint, options)

    async def ask(self, question: Question) -> str:
        method, request = question
        call = self.channel.unary_unary(f"/etcdserverpb.{method}")
        try:
            body = await call(request.SerializeToString(), timeout=60)
        except grpc.RpcError as error:
            return f"{error.code().name}: {error.details()}"
        answer = getattr(pb, type(request).__name__.replace("Request", "Response")).FromString(body)
        for name in ("cluster_id", "member_id", "raft_term"):
            answer.header.ClearField(name)
        if method == "Maintenance/Alarm":
            answer.header.ClearField("revision")  # younger than Debian's
        if method == "Lease/LeaseTimeToLive":
            answer.TTL = 100 if 90 <= answer.TTL <= 100 else answer.TTL
        if method == "Maintenance/HashKV":
            answer.ClearField("hash_revision")  # younger than Debian's
        return str(answer)


@pytest.fixture
async def both(tmp_path: Path) -> AsyncIterator[list[Asked]]:
    async with running(KINDS[0], tmp_path / "a") as ours, running(KINDS[1], tmp_path / "b") as theirs:
        asked = [Asked(ours.endpoint), Asked(theirs.endpoint)]
        yield asked
        for one in asked:
            await one.channel.close()


def shown(question: Question) -> str:
    text = str(question[1])
    return f"{question[0]} {text if len(text) < 400 else text[:400] + ' …'}"


async def compare(both: list[Asked], questions: list[Question], most: int = 10) -> None:
    """At most so many differences are told: after one in a write, all that follows differs too."""
    different: list[str] = []
    for question in questions:
        ours, theirs = await asyncio.gather(*(one.ask(question) for one in both))
        if ours != theirs:
            different.append(f"{shown(question)}\n  ours:\n{ours[:1500]}\n  Debian's:\n{theirs[:1500]}")
        if len(different) >= most:
            break
    assert not different, "answers differ\n" + "\n\n".join(different)


async def test_every_corner(both: list[Asked]) -> None:
    await compare(both, FIRST + QUESTIONS)


def generated(seed: int, count: int) -> list[Question]:
    """Requests of every kind with any options, over few keys."""
    random = Random(seed)

    def key() -> bytes:
        return random.choice([b"a", b"b", b"bb", b"c", b"d"])

    def some(chance: float, value: Callable[[], Any]) -> Any:
        return value() if random.random() < chance else None

    def fields(**chosen: Any) -> dict[str, Any]:
        return {name: value for name, value in chosen.items() if value is not None}

    def end() -> bytes | None:
        return some(0.6, lambda: random.choice([b"\0", b"b", b"c", b"d", b"e"]))

    def number(most: int) -> Callable[[], int]:
        return lambda: random.randint(0, most)

    def a_range() -> Any:
        return R(**fields(
            key=key(), range_end=end(), limit=some(0.4, number(4)), revision=some(0.3, number(count)),
            sort_order=some(0.4, number(2)), sort_target=some(0.4, number(4)), keys_only=some(0.2, lambda: True),
            count_only=some(0.1, lambda: True), min_mod_revision=some(0.1, number(count)),
            max_mod_revision=some(0.1, number(count)), min_create_revision=some(0.1, number(count)),
            max_create_revision=some(0.1, number(count)),
        ))  # fmt: skip

    def a_put() -> Any:
        value = some(0.9, lambda: bytes(random.choices(b"xyz", k=random.randint(0, 6))))
        return P(**fields(
            key=key(), value=value, prev_kv=some(0.4, lambda: True),
            ignore_value=some(0.1, lambda: True), lease=some(0.2, lambda: random.choice([5, 6])),
            ignore_lease=some(0.1, lambda: True),
        ))  # fmt: skip

    def a_deletion() -> Any:
        return D(**fields(key=key(), range_end=end(), prev_kv=some(0.5, lambda: True)))

    def a_comparison() -> Any:
        name, value = random.choice([
            ("version", random.randint(0, 3)), ("create_revision", random.randint(0, count)),
            ("mod_revision", random.randint(0, count)), ("value", random.choice([b"", b"x", b"yy"])),
            ("lease", random.choice([0, 5])),
        ])  # fmt: skip
        target = {"version": 0, "create_revision": 1, "mod_revision": 2, "value": 3, "lease": 4}[name]
        more = {"range_end": b"c"} if random.random() < 0.2 else {}
        return C(key=key(), target=target, result=random.randint(0, 3), **{name: value}, **more)

    def a_txn(depth: int = 2) -> Any:
        def operations() -> list[Any]:
            makers = [a_range, a_put, a_deletion] + ([lambda: a_txn(depth - 1)] if depth else [])
            return [op(random.choice(makers)()) for _ in range(random.randint(0, 3))]

        compare = [a_comparison() for _ in range(random.randint(0, 2))]
        return T(compare=compare, success=operations(), failure=operations())

    def a_compaction() -> Any:
        return pb.CompactionRequest(revision=random.randint(0, count // 2), physical=True)

    questions: list[Question] = [("Lease/LeaseGrant", pb.LeaseGrantRequest(TTL=500, ID=id)) for id in (5, 6)]
    makers = [
        (4, "KV/Range", a_range), (4, "KV/Put", a_put), (2, "KV/DeleteRange", a_deletion), (5, "KV/Txn", a_txn),
        (1, "KV/Compact", a_compaction), (1, "Maintenance/HashKV", pb.HashKVRequest),
    ]  # fmt: skip
    for _ in range(count):
        _, method, make = random.choices(makers, [weight for weight, _, _ in makers])[0]
        questions.append((method, make()))
    return questions


@pytest.mark.parametrize("seed", range(3))
async def test_generated_requests(both: list[Asked], seed: int) -> None:
    await compare(both, generated(seed, 250), most=1)
