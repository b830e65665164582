"""Our etcd beside Debian's, in turns on one machine, by the same cheap client (`grpc_load`).

    python -m bench etcd                      one member
    python -m bench etcd --members 3          three; the client talks to the leader
    python -m bench etcd --million            also a million keys: memory, start, and what compaction does to others

The client shares the machine with the servers, so ratios count. Its own processor time and the servers' stand behind
each figure, in microseconds a call.
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import tempfile
import threading
import time
from collections.abc import Callable
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import grpc
import psutil

from tests.etcd_servers import KINDS, EtcdProcess
from workshop.wire import etcd_pb2 as pb

from .grpc_load import Request, Result, Watchers, load

VALUE = b"x" * 256
KEYS = 50
#: Puts in one transaction, when very many are loaded: what fits a frame.
TOGETHER = 40


def key(caller: int, count: int) -> bytes:
    return b"/registry/pods/default/web-%d-%d" % (caller, count)


def put(caller: int, count: int) -> bytes:
    return bytes(pb.PutRequest(key=key(caller, count), value=VALUE).SerializeToString())


def linearizable(caller: int, count: int) -> bytes:
    return bytes(pb.RangeRequest(key=key(caller, count % KEYS)).SerializeToString())


def serializable(caller: int, count: int) -> bytes:
    return bytes(pb.RangeRequest(key=key(caller, count % KEYS), serializable=True).SerializeToString())


@dataclass(frozen=True)
class Measure:
    """A figure: calls a second, and the least and the hoped-for share of Debian's."""

    name: str
    method: str
    request: Request
    callers: int
    limit: float
    aim: float = 1.0


MEASURES = [
    Measure("puts, 1 client", "Put", put, 1, 0.7),
    Measure("puts, 64 clients", "Put", put, 64, 0.2),
    Measure("linearizable reads, 1 client", "Range", linearizable, 1, 0.7),
    Measure("linearizable reads, 64 clients", "Range", linearizable, 64, 0.2),
    Measure("serializable reads, 1 client", "Range", serializable, 1, 0.7),
    Measure("serializable reads, 64 clients", "Range", serializable, 64, 0.2),
]


class Servers:
    """One or more members of one kind; `endpoint` is the leader's."""

    def __init__(self, kind: str, folder: Path, members: int) -> None:
        self.kind = kind
        self.all = [EtcdProcess(kind, folder / str(number)) for number in range(members)]
        named = ",".join(f"m{n}=http://127.0.0.1:{one.peer_port}" for n, one in enumerate(self.all))
        for number, one in enumerate(self.all):
            one.flags = (f"--name=m{number}", f"--initial-cluster={named}")
        self.endpoint = ""

    def start(self) -> float:
        """Seconds until the first member serves."""

        async def start() -> None:
            await asyncio.gather(*(one.start(patience=300) for one in self.all))
            for _ in range(100):
                for one in self.all:
                    async with grpc.aio.insecure_channel(one.endpoint) as channel:
                        body = await channel.unary_unary("/etcdserverpb.Maintenance/Status")(b"", timeout=5)
                    status = pb.StatusResponse.FromString(body)
                    if status.leader and status.leader == status.header.member_id:
                        self.endpoint = one.endpoint
                        return
            raise TimeoutError("nobody leads")

        begun = time.perf_counter()
        asyncio.run(start())
        return time.perf_counter() - begun

    def processor_seconds(self) -> float:
        times = [psutil.Process(one.process.pid).cpu_times() for one in self.all if one.process]
        return sum(t.user + t.system for t in times)

    def memory(self) -> float:
        """MB of the leader, resident."""
        leader = next(one for one in self.all if one.endpoint == self.endpoint)
        assert leader.process is not None
        return float(psutil.Process(leader.process.pid).memory_info().rss) / 1e6

    def kill(self) -> None:
        for one in self.all:
            if one.process is not None:
                one.kill()


@contextmanager
def both(members: int):  # type: ignore[no-untyped-def]
    with tempfile.TemporaryDirectory() as folder:
        servers = [Servers(kind, Path(folder) / kind, members) for kind in KINDS]
        try:
            yield servers
        finally:
            for one in servers:
                one.kill()


@dataclass
class Row:
    """A figure of both. `more` is better, unless `less` is."""

    name: str
    unit: str
    limit: float | None = None
    aim: float | None = None
    less: bool = False
    values: dict[str, list[float]] = field(default_factory=dict)
    notes: dict[str, str] = field(default_factory=dict)

    def add(self, kind: str, value: float, note: str = "") -> None:
        self.values.setdefault(kind, []).append(value)
        self.notes[kind] = note

    def print(self) -> bool:
        """Print it; does it miss its limit?"""
        ours, theirs = (statistics.median(self.values[kind]) for kind in KINDS)
        ratio = ours / theirs if theirs else 0.0
        share = 1 / ratio if self.less and ratio else ratio
        verdict = ""
        if self.limit is not None:
            verdict = "aim reached" if self.aim and share >= self.aim else "within" if share >= self.limit else "MISSED"
        limit = f"{self.limit:g}" if self.limit is not None else ""
        row = f"{self.name:40} {ours:10,.1f} {theirs:10,.1f} {self.unit:8} {ratio:6.2f} {limit:>5} {verdict}"
        print(row, flush=True)
        for kind in KINDS:
            if self.notes.get(kind):
                print(f"    {kind}: {self.notes[kind]}", flush=True)
        return verdict == "MISSED"


def note(result: Result, servers: float) -> str:
    return (
        f"p50 {result.median * 1e3:.2f} ms, p99 {result.p99 * 1e3:.2f} ms; "
        f"CPU a call: client {result.cpu * 1e6:.0f} µs, server {servers * 1e6:.0f} µs"
    )


def measure(servers: Servers, one: Measure, seconds: float, row: Row) -> None:
    before = servers.processor_seconds()
    result = load(servers.endpoint, f"/etcdserverpb.KV/{one.method}", one.request, one.callers, 8, seconds)
    used = (servers.processor_seconds() - before) / (result.rate * result.seconds)
    row.add(servers.kind, result.rate, note(result, used))


def fan_out(servers: Servers, watchers: int, puts: int, row: Row) -> None:
    """One change to a key that many watch: from the put to the last of them."""
    create = pb.WatchRequest(create_request=pb.WatchCreateRequest(key=b"watched"))
    crowd = Watchers(servers.endpoint, "/etcdserverpb.Watch/Watch", create.SerializeToString(), watchers, 10)
    try:
        times = []
        for _ in range(puts):
            begun = time.perf_counter()
            change = pb.PutRequest(key=b"watched", value=VALUE).SerializeToString()
            load(servers.endpoint, "/etcdserverpb.KV/Put", lambda caller, count, change=change: change, 1, 1, 0)
            crowd.hear()
            times.append((time.perf_counter() - begun) * 1e3)
        row.add(servers.kind, statistics.median(times), f"slowest of {puts}: {max(times):.0f} ms")
    finally:
        crowd.close()


def million(servers: Servers, keys: int, rows: dict[str, Row]) -> None:
    """Fill, measure memory; compact while others read and write; kill -9 and start again."""

    def fill(caller: int, count: int) -> bytes:
        names = (b"/registry/pods/default/web-%08d" % (TOGETHER * (count * 8 + caller) + i) for i in range(TOGETHER))
        operations = [pb.RequestOp(request_put=pb.PutRequest(key=name, value=VALUE)) for name in names]
        return bytes(pb.TxnRequest(success=operations).SerializeToString())

    path = "/etcdserverpb.KV/Txn"
    loaded = load(servers.endpoint, path, fill, 8, 8, 1e9, calls=keys // TOGETHER)
    rows["load"].add(servers.kind, loaded.rate * TOGETHER)
    rows["memory"].add(servers.kind, servers.memory())
    # Half of the keys anew, so that compaction has something to take away.
    load(servers.endpoint, path, fill, 8, 8, 1e9, calls=keys // TOGETHER // 2)
    worst = _worst_latency_during(servers, lambda: _compact(servers))
    rows["pause"].add(servers.kind, worst * 1e3)
    servers.kill()
    rows["start"].add(servers.kind, servers.start())


def _compact(servers: Servers) -> None:
    with grpc.insecure_channel(servers.endpoint) as channel:
        body = channel.unary_unary("/etcdserverpb.KV/Put")(put(0, 0))
        revision = pb.PutResponse.FromString(body).header.revision
        request = pb.CompactionRequest(revision=revision, physical=True)
        channel.unary_unary("/etcdserverpb.KV/Compact")(request.SerializeToString(), timeout=300)


def _worst_latency_during(servers: Servers, work: Callable[[], None]) -> float:
    """The longest that a reader or a writer waited while `work` was done, in seconds."""
    thread = threading.Thread(target=work)
    thread.start()
    worst = 0.0
    while thread.is_alive():
        for method, request in (("Put", put), ("Range", linearizable)):
            result = load(servers.endpoint, f"/etcdserverpb.KV/{method}", request, 1, 1, 0)
            worst = max(worst, result.median)
    thread.join()
    return worst


def main(options: argparse.Namespace) -> int:
    """Print all figures as they come; 1 if one misses its limit."""
    print(f"{'figure':40} {'ours':>10} {'Debian':>10} {'unit':8} {'ratio':>6} {'least':>5}")
    missed = []
    with both(options.members) as servers:
        start = Row(f"start, {options.members} member(s)", "s", less=True)
        for one in servers:
            start.add(one.kind, one.start())
        missed.append(start.print())
        for figure in MEASURES:
            row = Row(figure.name, "a s", figure.limit, figure.aim)
            for _ in range(options.rounds):
                for one in servers:
                    measure(one, figure, options.seconds, row)
            missed.append(row.print())
        row = Row("1,000 watchers, put to the last", "ms", less=True)
        for one in servers:
            fan_out(one, 1000, 20, row)
        missed.append(row.print())
    if options.million:
        missed += [row.print() for row in _million(options.keys)]
    return 1 if any(missed) else 0


def _million(keys: int) -> list[Row]:
    rows = {
        "load": Row(f"{keys:,} keys: loading", "keys/s"),
        "memory": Row("memory with them", "MB", less=True),
        "pause": Row("longest wait during a compaction", "ms", less=True),
        "start": Row("start after kill -9", "s", less=True),
    }
    for kind in KINDS:  # one after the other: two stores of that size do not fit everywhere
        with tempfile.TemporaryDirectory() as folder:
            servers = Servers(kind, Path(folder), 1)
            servers.start()
            try:
                million(servers, keys, rows)
            finally:
                servers.kill()
    return list(rows.values())
