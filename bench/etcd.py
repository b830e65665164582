"""Our etcd beside Debian's in one run, with the same client: puts, transactions, reads, lists, watches, start.

    python bench/etcd.py [--seconds 2] [--clients 64] [--value 1000]

The client is Python too and shares the machine with the server, so the ratios are what counts.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import grpc

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from tests.etcd_servers import KINDS, EtcdProcess  # noqa: E402
from workshop.wire import etcd_pb2 as pb  # noqa: E402


class Load:
    """`clients` callers on four connections for `seconds`; calls a second and the median latency."""

    def __init__(self, endpoint: str, clients: int, seconds: float) -> None:
        self.channels = [grpc.aio.insecure_channel(endpoint, [("grpc.max_receive_message_length", -1)]) for _ in "1234"]
        self.clients, self.seconds = clients, seconds

    def method(self, name: str) -> list[Any]:
        return [channel.unary_unary(f"/etcdserverpb.{name}") for channel in self.channels]

    async def measure(self, name: str, request: Callable[[int, int], bytes]) -> tuple[float, float]:
        calls, times = self.method(name), list[float]()
        end = time.perf_counter() + self.seconds

        async def caller(number: int) -> None:
            i = 0
            while (before := time.perf_counter()) < end:
                await calls[number % 4](request(number, i))
                times.append(time.perf_counter() - before)
                i += 1

        await asyncio.gather(*(caller(number) for number in range(self.clients)))
        times.sort()
        return len(times) / self.seconds, times[len(times) // 2] * 1000

    async def close(self) -> None:
        for channel in self.channels:
            await channel.close()


def key(number: int, i: int) -> bytes:
    return b"/registry/pods/default/web-%d-%d" % (number, i)


async def run(kind: str, folder: Path, options: argparse.Namespace) -> dict[str, float]:
    """All figures of one server."""
    etcd = EtcdProcess(kind, folder)
    before = time.perf_counter()
    await etcd.start()
    figures = {"start, ms": (time.perf_counter() - before) * 1000}
    value = b"x" * options.value
    try:
        load = Load(etcd.endpoint, options.clients, options.seconds)
        steps: list[tuple[str, str, Callable[[int, int], bytes]]] = [
            ("puts", "KV/Put", lambda n, i: pb.PutRequest(key=key(n, i), value=value).SerializeToString()),
            ("creating txns", "KV/Txn", lambda n, i: _create(b"/registry/t/%d-%d" % (n, i), value)),
            ("linearizable gets", "KV/Range", lambda n, i: pb.RangeRequest(key=key(n, i % 20)).SerializeToString()),
        ]
        for name, method, request in steps:
            figures[f"{name} a second"], figures[f"{name}, median ms"] = await load.measure(method, request)
        await load.close()
        alone = Load(etcd.endpoint, 1, options.seconds / 2)
        figures["puts of one client a second"], _ = await alone.measure("KV/Put", steps[0][2])
        figures["list of 500, ms"] = await _timed(lambda: _list(alone, 500))
        figures["20 watches, 1,000 events each, ms"] = await _timed(lambda: _watches(alone, 20, 1000))
        await alone.close()
        assert etcd.process is not None
        status = Path(f"/proc/{etcd.process.pid}/status").read_text()
        figures["memory, MB"] = int(status.split("VmRSS:")[1].split()[0]) / 1024
    finally:
        etcd.kill()
    before = time.perf_counter()
    await etcd.start()
    figures["start after kill -9, ms"] = (time.perf_counter() - before) * 1000
    etcd.kill()
    return figures


def _create(name: bytes, value: bytes) -> bytes:
    compare = pb.Compare(target=pb.Compare.MOD, key=name, mod_revision=0)
    put = pb.RequestOp(request_put=pb.PutRequest(key=name, value=value))
    return bytes(pb.TxnRequest(compare=[compare], success=[put]).SerializeToString())


async def _timed(work: Callable[[], Awaitable[None]]) -> float:
    before = time.perf_counter()
    await work()
    return (time.perf_counter() - before) * 1000


async def _list(load: Load, limit: int) -> None:
    request = pb.RangeRequest(key=b"/registry/", range_end=b"/registry0", limit=limit)
    answer = pb.RangeResponse.FromString(await load.method("KV/Range")[0](request.SerializeToString()))
    assert len(answer.kvs) == limit


async def _watches(load: Load, watches: int, events: int) -> None:
    """One client writes, `watches` streams hear it; until all have heard all."""

    async def watch(ready: asyncio.Event) -> None:
        stream = load.channels[1].stream_stream("/etcdserverpb.Watch/Watch")()
        create = pb.WatchCreateRequest(key=b"/w/", range_end=b"/w0", prev_kv=True)
        await stream.write(pb.WatchRequest(create_request=create).SerializeToString())
        await stream.read()
        ready.set()
        heard = 0
        while heard < events:
            heard += len(pb.WatchResponse.FromString(await stream.read()).events)
        stream.cancel()

    ready = [asyncio.Event() for _ in range(watches)]
    tasks = [asyncio.ensure_future(watch(event)) for event in ready]
    for event in ready:
        await event.wait()
    puts = load.method("KV/Put")
    for start in range(0, events, 50):
        await asyncio.gather(
            *(
                puts[i % 4](pb.PutRequest(key=b"/w/%d" % i, value=b"x").SerializeToString())
                for i in range(start, start + 50)
            )
        )
    await asyncio.gather(*tasks)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=2.0)
    parser.add_argument("--clients", type=int, default=64)
    parser.add_argument("--value", type=int, default=1000)
    options = parser.parse_args()
    results: dict[str, dict[str, float]] = {}
    for kind in KINDS:
        with tempfile.TemporaryDirectory() as folder:
            results[kind] = asyncio.run(run(kind, Path(folder) / "data", options))
    print(f"{'':40} {'ours':>10} {'debian':>10} {'ratio':>7}")
    for name, ours in results["ours"].items():
        theirs = results["debian"][name]
        print(f"{name:40} {ours:10.1f} {theirs:10.1f} {ours / theirs:7.2f}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
