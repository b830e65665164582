"""Flags for members that must do without: without certificates, without the others, without their own log."""

from __future__ import annotations

import asyncio
import http.client
import ssl
import urllib.error
import urllib.request
from pathlib import Path

import pytest

from tests.etcd.members import MemberProcess, Members
from tests.etcd_servers import KINDS, EtcdProcess
from workshop.etcd.config import Fatal, Tls
from workshop.etcd.self_signed import self_signed
from workshop.wire import etcd_pb2 as pb


class Survivor(MemberProcess):
    """One whose peers speak TLS and whose log lies elsewhere."""

    def __init__(self, name: str, folder: Path, kind: str) -> None:
        super().__init__(name, folder, kind=kind)
        self.peer = self.peer.replace("http:", "https:")
        self.flags = ("--peer-auto-tls", f"--wal-dir={folder / name}.wal")


async def members_of(member: MemberProcess) -> list[str]:
    answer = await member.call("Cluster/MemberList", pb.MemberListRequest())
    return sorted(one.name for one in answer.members)


@pytest.mark.parametrize("kind", KINDS)
async def test_the_last_one_goes_on_alone(kind: str, tmp_path: Path) -> None:
    cluster = Members(tmp_path, 0, kind=kind)
    cluster.all = [Survivor(f"m{i}", tmp_path, kind) for i in range(1, 4)]
    for member in cluster.all:
        member.cluster = ",".join(f"{other.name}={other.peer}" for other in cluster.all)
    cluster.start()
    try:
        await cluster.ready()
        last = cluster.all[2]
        await last.call("KV/Put", pb.PutRequest(key=b"k", value=b"1"))
        assert (await last.call("KV/Range", pb.RangeRequest(key=b"k"))).count == 1
        before = await last.call("Cluster/MemberList", pb.MemberListRequest())
        for member in cluster.all:
            member.kill()
        assert list(Path(f"{last.folder}.wal").glob("*.wal")) and not (last.folder / "member" / "wal").exists()
        flags = last.flags
        last.flags = (*flags, "--force-new-cluster")
        last.start()
        await last.call("KV/Put", pb.PutRequest(key=b"k", value=b"2"))
        assert await members_of(last) == ["m3"]
        last.kill()
        last.flags = flags
        last.start()
        found = await last.call("KV/Range", pb.RangeRequest(key=b"k"))
        # (Debian's etcd forgets what it does not know to be committed, the first put too if that was just before.)
        assert found.kvs[0].value == b"2" and found.kvs[0].version in ((2,) if kind == "ours" else (1, 2))
        after = await last.call("Cluster/MemberList", pb.MemberListRequest())
        assert after.header.cluster_id == before.header.cluster_id and [m.name for m in after.members] == ["m3"]
    finally:
        cluster.close()


def ask(url: str, context: ssl.SSLContext) -> bytes:
    """What is answered there, b"" where nothing is."""
    try:
        with urllib.request.urlopen(url, timeout=60, context=context) as answer:
            return bytes(answer.read())
    except (urllib.error.URLError, ConnectionError, http.client.HTTPException):
        return b""


@pytest.mark.parametrize("kind", KINDS)
async def test_a_certificate_that_vouches_for_itself(kind: str, tmp_path: Path) -> None:
    etcd = EtcdProcess(kind, tmp_path / "data", "--auto-tls")
    client = f"https://{etcd.endpoint}"
    etcd.flags += (f"--listen-client-urls={client}", f"--advertise-client-urls={client}")
    try:
        etcd.spawn()
        path = tmp_path / "data" / "fixtures" / "client" / "cert.pem"
        await etcd.appears(path)
        # (gRPC for Python knows no keys of that curve.)
        context = ssl.create_default_context(cafile=str(path))
        health = f"{client}/health"
        async with asyncio.timeout(60):
            while not (answer := await asyncio.to_thread(ask, health, context)):  # noqa: ASYNC110  it starts
                await asyncio.sleep(0.05)
        assert b'"health":"true"' in answer
        assert not await asyncio.to_thread(ask, health.replace("https", "http"), context)
    finally:
        etcd.kill()


def test_it_is_made_once_and_not_where_another_is_given(tmp_path: Path) -> None:
    urls = ["https://127.0.0.1:1", "https://[::1]:2", "https://name:3"]
    made = self_signed(Tls(), tmp_path, urls, 1, 1.0e9)
    first = Path(made.cert_file).read_bytes()
    assert made.self_signed and Path(made.key_file).stat().st_mode & 0o777 == 0o600
    assert self_signed(Tls(), tmp_path, urls, 1, 2.0e9) == made and Path(made.cert_file).read_bytes() == first
    given = Tls("a", "b")
    assert self_signed(given, tmp_path, urls, 1, 1.0e9) is given
    with pytest.raises(Fatal, match="selfSignedCertValidity is invalid"):
        self_signed(Tls(), tmp_path / "other", urls, 0, 1.0e9)
