"""Members as processes: what a cluster of three does when one is killed, and who may join it."""

from __future__ import annotations

import asyncio
import json
import shutil
from pathlib import Path

import grpc
import pytest

from tests.etcd.members import MemberProcess, Members, members
from tests.etcd_servers import KINDS
from workshop.wire import etcd_pb2 as pb

#: Twice as fast as the defaults, so that a test need not wait a second for an election.
FAST = ("--heartbeat-interval=50", "--election-timeout=500")
#: Whoever leads goes on leading, however slow the machine: for tests without an election.
STEADY = ("--heartbeat-interval=100", "--election-timeout=8000")


def put(key: bytes, value: bytes = b"") -> pb.PutRequest:
    return pb.PutRequest(key=key, value=value)


async def refusal(work: object) -> tuple[str, str]:
    with pytest.raises(grpc.RpcError) as refused:
        await work  # type: ignore[misc]
    return refused.value.code().name, refused.value.details()


async def eventually(check: object, seconds: float = 90) -> None:
    """Ask again every 50 ms until `check` holds: another process is waited for, of which no event tells."""
    async with asyncio.timeout(seconds):
        while not await check():  # type: ignore[operator]  # noqa: ASYNC110
            await asyncio.sleep(0.05)


async def test_three_members_outlive_one_and_it_catches_up(tmp_path: Path) -> None:
    async with members(tmp_path, 3, *FAST, "--snapshot-count=20", "--snapshot-catchup-entries=5") as cluster:
        leader = await cluster.leader()
        followers = [member for member in cluster.all if member is not leader]
        await followers[0].call("KV/Put", put(b"a", b"1"))  # a follower passes it on
        lease = await followers[0].call("Lease/LeaseGrant", pb.LeaseGrantRequest(TTL=300))
        await leader.call("KV/Put", pb.PutRequest(key=b"leased", lease=lease.ID))
        for member in cluster.all:  # each reads what was written elsewhere, linearizably
            found = await member.call("KV/Range", pb.RangeRequest(key=b"a"))
            assert [kv.value for kv in found.kvs] == [b"1"]
            left = await member.call("Lease/LeaseTimeToLive", pb.LeaseTimeToLiveRequest(ID=lease.ID, keys=True))
            assert left.grantedTTL == 300 and list(left.keys) == [b"leased"]

        leader.kill()

        async def another_leads() -> bool:
            return (await followers[0].status()).leader in {(await f.status()).header.member_id for f in followers}

        await eventually(another_leads)
        new = await cluster.leader(followers)
        await followers[1].call("KV/Put", put(b"b"))
        for i in range(60):  # far more than is kept for who is behind: only a snapshot helps
            await new.call("KV/Put", put(b"c%d" % i))
        left = await new.call("Lease/LeaseTimeToLive", pb.LeaseTimeToLiveRequest(ID=lease.ID, keys=True))
        assert 250 < left.TTL <= 301 and list(left.keys) == [b"leased"]

        leader.start()
        everything = pb.RangeRequest(key=b"\x00", range_end=b"\x00", count_only=True)
        for member in cluster.all:  # each has applied all
            assert (await member.call("KV/Range", everything)).count == 63
        hashes = {(await member.call("Maintenance/HashKV", pb.HashKVRequest())).hash for member in cluster.all}
        assert len(hashes) == 1
        assert "received from" in leader.log.read_text(), "it caught up by a snapshot"


async def test_a_leader_that_is_told_to_end_hands_over_before(tmp_path: Path) -> None:
    async with members(tmp_path, 3, "--heartbeat-interval=500", "--election-timeout=15000") as cluster:
        leader = await cluster.leader()
        others = [member for member in cluster.all if member is not leader]
        assert leader.process is not None
        leader.process.terminate()
        assert await leader.ended() == 0
        await others[0].call("KV/Put", put(b"a"), 14)  # nobody would have lost patience yet
        assert await cluster.leader(others) in others


async def test_without_a_majority_nothing_is_written_and_old_values_are_read(tmp_path: Path) -> None:
    async with members(tmp_path, 3, *FAST) as cluster:
        await cluster.all[0].call("KV/Put", put(b"a", b"1"))
        left = cluster.all[0]
        for member in cluster.all[1:]:
            member.kill()
        local = pb.RangeRequest(key=b"a", serializable=True)
        assert [kv.value for kv in (await left.call("KV/Range", local)).kvs] == [b"1"]

        async def leaderless() -> bool:
            return "etcdserver: no leader" in (await left.status()).errors

        await eventually(leaderless)
        assert (await refusal(left.call("KV/Put", put(b"b"), 1)))[0] == "DEADLINE_EXCEEDED"
        asked = pb.AlarmRequest(action=pb.AlarmRequest.GET)
        assert (await refusal(left.call("Maintenance/Alarm", asked, 0.5)))[0] == "DEADLINE_EXCEEDED"
        cluster.all[1].start()
        await left.call("KV/Put", put(b"c"))


async def test_joining_voting_leading_leaving(tmp_path: Path) -> None:
    # Strict, it would want the two to have been connected for five seconds before one goes.
    async with members(tmp_path, 1, *STEADY, "--strict-reconfig-check=false") as cluster:
        first = cluster.all[0]
        for i in range(50):
            await first.call("KV/Put", put(b"%d" % i))
        learner = cluster.joining("m2")
        added = await first.call("Cluster/MemberAdd", pb.MemberAddRequest(peerURLs=[learner.peer], isLearner=True))
        assert added.member.isLearner and len(added.members) == 2
        promote = pb.MemberPromoteRequest(ID=added.member.ID)
        assert await refusal(first.call("Cluster/MemberPromote", promote)) == (
            "FAILED_PRECONDITION",
            "etcdserver: can only promote a learner member which is in sync with leader",
        )
        another = pb.MemberAddRequest(peerURLs=["http://127.0.0.1:1"], isLearner=True)
        assert (await refusal(first.call("Cluster/MemberAdd", another)))[1] == (
            "etcdserver: too many learner members in cluster"
        )
        same_url = pb.MemberAddRequest(peerURLs=[learner.peer, "http://127.0.0.1:2"])
        assert (await refusal(first.call("Cluster/MemberAdd", same_url)))[1] == "etcdserver: Peer URLs already exists"
        assert (await refusal(first.call("Cluster/MemberAdd", pb.MemberAddRequest(peerURLs=["nowhere"]))))[1] == (
            "etcdserver: given member URLs are invalid"
        )
        learner.start()
        assert (await learner.status()).isLearner
        here = pb.RangeRequest(key=b"0", range_end=b"\x00", serializable=True, count_only=True)

        async def all_there() -> bool:
            return (await learner.call("KV/Range", here)).count == 50

        await eventually(all_there)
        assert await refusal(learner.call("KV/Put", put(b"x"))) == (
            "FAILED_PRECONDITION",
            "etcdserver: rpc not supported for learner",
        )
        move = pb.MoveLeaderRequest(targetID=added.member.ID)
        assert (await refusal(first.call("Maintenance/MoveLeader", move)))[1] == "etcdserver: bad leader transferee"

        async def promoted() -> bool:
            """Whether the leader has heard by now that all arrived."""
            try:
                await first.call("Cluster/MemberPromote", promote)
            except grpc.RpcError as error:
                assert str(error.details()).endswith("which is in sync with leader")
                return False
            return True

        await eventually(promoted)
        assert (await refusal(first.call("Cluster/MemberPromote", promote)))[1] == (
            "etcdserver: can only promote a learner member"
        )

        async def votes() -> bool:
            return not (await learner.status()).isLearner

        await eventually(votes)  # it hears of its promotion like of any other entry
        await learner.call("KV/Put", put(b"x"))
        await first.call("Maintenance/MoveLeader", move)
        assert (await learner.status()).leader == added.member.ID
        assert (await refusal(first.call("Maintenance/MoveLeader", move)))[1] == "etcdserver: not leader"

        gone = (await first.status()).header.member_id
        await learner.call("Cluster/MemberRemove", pb.MemberRemoveRequest(ID=gone))
        assert await first.ended() == 1
        assert first.log.read_text().strip().endswith("the member has been permanently removed from the cluster")
        assert (await refusal(learner.call("Cluster/MemberRemove", pb.MemberRemoveRequest(ID=gone))))[1] == (
            "etcdserver: member not found"
        )
        left = await learner.call("Cluster/MemberList", pb.MemberListRequest(linearizable=True))
        assert [(m.name, list(m.clientURLs)) for m in left.members] == [("m2", [f"http://{learner.endpoint}"])]
        await learner.call("KV/Put", put(b"alone"))


async def test_who_must_not_take_part(tmp_path: Path) -> None:
    async with members(tmp_path, 3, *FAST) as cluster:
        lost, _, other = cluster.all
        await other.call("KV/Put", put(b"a"))
        lost.kill()
        lost.folder.rename(tmp_path / "away")
        said = lost.run()
        assert "has already been bootstrapped" in said and "etcdctl member add" in said
        stranger = cluster.joining("m4")
        assert "member count is unequal" in stranger.run()
        stranger.cluster += ",m5=http://127.0.0.1:1"
        cluster.all.remove(stranger)

    foreign = Members(tmp_path / "foreign", 2, *FAST)
    (tmp_path / "foreign").mkdir()
    tokens = ("--initial-cluster-token=one", "--initial-cluster-token=two")
    for member, token in zip(foreign.all, tokens, strict=True):
        member.flags = (*member.flags, token)
    foreign.start()
    try:

        async def refused() -> bool:
            return all("ignored by remote peer due to cluster ID mismatch" in m.log.read_text() for m in foreign.all)

        await eventually(refused)
    finally:
        foreign.close()


async def test_what_a_member_cannot_be_sure_of_it_refuses(tmp_path: Path) -> None:
    """A damaged log, an older copy of its directory, another member's: each says what is wrong and how to go on."""
    async with members(tmp_path, 3, *STEADY, "--snapshot-count=20") as cluster:
        leader = await cluster.leader()
        one, two = (member for member in cluster.all if member is not leader)
        for i in range(5):
            await one.call("KV/Put", put(b"%d" % i))
        one.kill()
        shutil.copytree(one.folder, tmp_path / "older")
        one.start()
        for i in range(5):
            await one.call("KV/Put", put(b"again %d" % i))
        one.kill()

        log = max((one.folder / "member" / "wal").glob("*.wal"))
        whole = log.read_bytes()
        log.write_bytes(whole[:300] + b"XXXX" + whole[304:])
        said = one.run()
        assert "is damaged at byte" in said and "restore the data directory from a snapshot, or remove" in said
        log.write_bytes(whole)

        shutil.rmtree(one.folder)
        (tmp_path / "older").rename(one.folder)
        one.start()  # the leader knows what it acknowledged
        assert await one.ended() == 1
        assert "was acknowledged: restore the data directory" in one.log.read_text()

        two.kill()
        shutil.rmtree(one.folder)
        two.folder.rename(one.folder)
        said = one.run()
        assert "belongs to member" in said and "give each member its own" in said


@pytest.mark.parametrize("kind", KINDS)
async def test_etcdctl_administers_a_cluster(kind: str, tmp_path: Path) -> None:
    """The same commands and answers, on ours and on Debian's."""
    etcdctl = shutil.which("etcdctl") or pytest.skip("etcdctl is not installed")

    async with members(tmp_path, 3, *STEADY, "--strict-reconfig-check=false", kind=kind) as cluster:

        async def run(member: MemberProcess, *words: str) -> str:
            """What etcdctl says at one member; it fails the test when etcdctl fails."""
            done = await asyncio.create_subprocess_exec(
                etcdctl, f"--endpoints={member.endpoint}", "--command-timeout=60s", *words,
                env={"ETCDCTL_API": "3"}, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
            )  # fmt: skip
            out, _ = await done.communicate()
            assert done.returncode == 0, (words, out)
            return out.decode()

        leader = await cluster.leader()
        other = next(member for member in cluster.all if member is not leader)
        target = (await other.status()).header.member_id
        listed = json.loads(await run(other, "member", "list", "-w", "json"))["members"]
        assert sorted(m["name"] for m in listed) == ["m1", "m2", "m3"]
        told = json.loads(await run(other, "endpoint", "status", "--cluster", "-w", "json"))
        assert len({row["Status"]["leader"] for row in told}) == 1 and len(told) == 3

        said = await run(leader, "move-leader", f"{target:x}")
        assert f"to {target:x}" in said
        added = await run(leader, "member", "add", "m4", "--learner", "--peer-urls=http://127.0.0.1:1")
        id = added.split()[1]
        shown = id.rjust(16)  # etcdctl fills up with blanks, where an id begins with a zero
        assert f"Member {shown} added to cluster" in added and 'ETCD_INITIAL_CLUSTER_STATE="existing"' in added
        assert "unstarted" in await run(leader, "member", "list")
        updated = await run(leader, "member", "update", id, "--peer-urls=http://127.0.0.1:2")
        assert f"Member {shown} updated in cluster" in updated
        assert "http://127.0.0.1:2" in await run(other, "member", "list")
        assert f"Member {shown} removed from cluster" in await run(other, "member", "remove", id)
        assert id not in await run(leader, "member", "list")
