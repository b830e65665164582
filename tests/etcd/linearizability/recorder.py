"""Clients that write down what they do, against real processes that are killed, stopped and cut off meanwhile."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from math import inf
from pathlib import Path
from random import Random
from typing import Any

import grpc

from tests.etcd.linearizability.checker import Operation
from tests.etcd.linearizability.members import Member, Members
from workshop.wire import etcd_pb2 as pb

#: Seconds that a client waits for an answer.
PATIENCE = 2.0
#: What grpc says of a call that never left: nothing was done. (Each call whose fate is unknown doubles the search.)
NEVER_SENT = "failed to connect to all addresses"


@dataclass
class Campaign:
    """What is done, for so many seconds and, on a slow machine, until so many operations are answered: `faults` of
    kill, stop, partition; `kind` ours or debian; `network` namespaces, proxies, or auto."""

    members: int = 1
    clients: int = 5
    keys: int = 3
    seconds: float = 5.0
    operations: int = 0
    faults: list[str] = field(default_factory=list)
    seed: int = 0
    kind: str = "ours"
    network: str = "auto"


class Client:
    """One client of one member, with an operation open at a time."""

    def __init__(self, number: int, endpoint: str, keys: int, seed: int) -> None:
        self.number, self._random = number, Random(f"{seed}/{number}")
        options = [("grpc.initial_reconnect_backoff_ms", 50), ("grpc.max_reconnect_backoff_ms", 200)]
        self.channel = grpc.aio.insecure_channel(endpoint, options)
        self._keys = [f"k{i}" for i in range(keys)]
        self._written = 0
        self._seen: dict[str, str | None] = {}

    async def work(self, history: list[Operation], goes_on: Callable[[], bool]) -> None:
        while goes_on():
            kind = self._random.choices(["get", "put", "delete", "cas"], [4, 3, 1, 3])[0]
            done = await self._do(kind, self._random.choice(self._keys))
            if done is not None:
                history.append(done)
            if done is None or done.returned == inf:
                await asyncio.sleep(0.02)  # a server that refuses at once would be asked thousands of times

    async def _do(self, kind: str, key: str) -> Operation | None:
        """What was done and answered; None if it certainly was not done."""
        self._written += 1
        value = f"{self.number}.{self._written}"
        tried = Operation(self.number, kind, key, time.monotonic(), inf, value, self._seen.get(key))
        try:
            result, revision = await self._call(tried)
        except grpc.RpcError as error:
            return None if NEVER_SENT in str(error.details()) else tried
        return tried._replace(returned=time.monotonic(), result=result, revision=revision)

    async def _call(self, op: Operation) -> tuple[object, int]:
        key = op.key.encode()
        match op.kind:
            case "get":
                answer = await self._ask("KV/Range", pb.RangeRequest(key=key), pb.RangeResponse)
                self._seen[op.key] = answer.kvs[0].value.decode() if answer.kvs else None
                return self._seen[op.key], answer.header.revision
            case "put":
                answer = await self._ask(
                    "KV/Put", pb.PutRequest(key=key, value=(op.value or "").encode()), pb.PutResponse
                )
                return None, answer.header.revision
            case "delete":
                answer = await self._ask("KV/DeleteRange", pb.DeleteRangeRequest(key=key), pb.DeleteRangeResponse)
                return answer.deleted == 1, answer.header.revision if answer.deleted else 0
        compare = pb.Compare(key=key, target=pb.Compare.VALUE, value=(op.expected or "").encode())
        if op.expected is None:
            compare = pb.Compare(key=key, target=pb.Compare.VERSION, version=0)
        put = pb.RequestOp(request_put=pb.PutRequest(key=key, value=(op.value or "").encode()))
        answer = await self._ask("KV/Txn", pb.TxnRequest(compare=[compare], success=[put]), pb.TxnResponse)
        return answer.succeeded, answer.header.revision if answer.succeeded else 0

    async def _ask(self, method: str, request: Any, answer: Any) -> Any:
        call = self.channel.unary_unary(f"/etcdserverpb.{method}")
        return answer.FromString(await call(request.SerializeToString(), timeout=PATIENCE))


class Faults:
    """Breaks something, waits, mends it; again and again."""

    def __init__(self, members: Members, kinds: list[str], random: Random) -> None:
        self._members, self._random = members, random
        every: dict[str, Callable[[], Awaitable[None]]] = {
            "kill": self._kill, "stop": self._stop, "partition": self._partition,
        }  # fmt: skip
        self._kinds = [every[kind] for kind in kinds]
        self.done: list[str] = []

    async def work(self, goes_on: Callable[[], bool]) -> None:
        while True:
            await self._wait(0.2, 0.8)
            if not goes_on():
                return
            await self._random.choice(self._kinds)()

    async def _wait(self, least: float, most: float) -> None:
        await asyncio.sleep(self._random.uniform(least, most))

    def _one(self) -> Member:
        return self._random.choice(self._members.all)

    async def _kill(self) -> None:
        victims = self._random.sample(self._members.all, self._random.randint(1, len(self._members.all)))
        for member in victims:
            member.kill()
        self.done.append(f"kill -9 of {', '.join(member.name for member in victims)}")
        await self._wait(0.0, 0.5)
        for member in victims:
            member.launch()
        for member in victims:
            await member.answers()

    async def _stop(self) -> None:
        member = self._one()
        assert member.process is not None
        os.kill(member.process.pid, signal.SIGSTOP)
        self.done.append(f"SIGSTOP of {member.name}")
        await self._wait(0.1, 2.5)
        os.kill(member.process.pid, signal.SIGCONT)

    async def _partition(self) -> None:
        names = [member.name for member in self._members.all]
        self._random.shuffle(names)
        cut = set(names[: self._random.randint(1, max(len(names) // 2, 1))])
        one_way = self._random.random() < 0.3
        for source in names:
            for target in names:
                if (source in cut) != (target in cut) and not (one_way and target in cut):
                    self._members.links.cut(source, target)
        self.done.append(f"partition of {', '.join(sorted(cut))}{', one way' if one_way else ''}")
        await self._wait(0.5, 4.0)
        self._members.links.mend()


async def run(campaign: Campaign, folder: Path) -> list[Operation]:
    """The history of a campaign; its times are seconds of the same clock."""
    history: list[Operation] = []
    async with Members.running(campaign.kind, campaign.members, folder, campaign.network) as members:
        begun = time.monotonic()

        def answered() -> int:
            return sum(op.returned != inf for op in history)

        def goes_on() -> bool:
            return time.monotonic() < begun + campaign.seconds or answered() < campaign.operations

        clients = [
            Client(number, members.all[number % campaign.members].client, campaign.keys, campaign.seed)
            for number in range(campaign.clients)
        ]
        faults = Faults(members, campaign.faults, Random(campaign.seed))
        work = [client.work(history, goes_on) for client in clients]
        if campaign.faults:
            work.append(faults.work(goes_on))
        try:
            await asyncio.gather(*work)
        finally:
            members.links.mend()
            for client in clients:
                await client.channel.close()
        # What everybody sees in the end belongs to the history.
        last = Client(len(clients), members.all[0].client, campaign.keys, campaign.seed)
        for key in range(campaign.keys):
            history.append(await members.patiently(lambda key=key: last._do("get", f"k{key}")))
        await last.channel.close()
    return history
