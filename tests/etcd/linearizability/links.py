"""The network between members, and how it is cut: each member in a network namespace of its own where root allows, a
proxy before each peer port where not.

    namespaces   what one sends to another is dropped on arrival, packets of any connection, acknowledgements too
    proxies      bytes wait, and pass when the link is mended

Either way a cut link is silent, not closed. Clients reach every member all the time.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import subprocess
from pathlib import Path
from typing import Protocol

import psutil

from tests.ports import free_port

#: Where `ip netns` keeps the names of namespaces.
NAMES = Path("/run/netns")
PREFIX = "wl"
#: Seconds for one command of `ip`.
PATIENCE = 60.0


class Place(Protocol):
    """Where a member runs: its addresses, and what stands before its command line."""

    name: str
    client: str
    peer: str
    listens: str
    before: list[str]
    process: subprocess.Popen[bytes] | None


class Links(Protocol):
    async def open(self, places: list[Place]) -> None:
        """Make the network and give each place its addresses (host:port)."""
        ...

    def cut(self, source: str, target: str) -> None:
        """Nothing that `source` sends comes to `target` any more."""
        ...

    def mend(self) -> None: ...

    async def close(self) -> None: ...


def links(kind: str = "auto") -> Links:
    """`namespaces`, `proxies`, or the better one that is possible here."""
    if kind == "proxies" or (kind == "auto" and not possible()):
        return Proxies()
    return Namespaces()


def possible() -> bool:
    """May we make network namespaces?"""
    if os.geteuid() or not shutil.which("ip"):
        return False
    probe = f"{PREFIX}{os.getpid()}p"
    made = subprocess.run(["ip", "netns", "add", probe], capture_output=True, timeout=PATIENCE, check=False)
    if made.returncode == 0:
        _ip("netns", "del", probe)
    return made.returncode == 0


def _ip(*arguments: str) -> str:
    """Raises CalledProcessError."""
    done = subprocess.run(["ip", *arguments], capture_output=True, text=True, timeout=PATIENCE, check=True)
    return done.stdout


class Namespaces:
    """A bridge in a namespace of its own, where no firewall of this machine is in its way; each member's namespace is
    joined to it, and so is this process's."""

    def __init__(self) -> None:
        self._own = f"{PREFIX}{os.getpid()}"
        self._hub = f"{self._own}hub"
        self._addresses: dict[str, str] = {}
        self._cut: set[tuple[str, str]] = set()

    async def open(self, places: list[Place]) -> None:
        sweep()
        net = self._free_net()
        try:
            _ip("netns", "add", self._hub)
            _ip("-n", self._hub, "link", "add", "br0", "type", "bridge")
            _ip("-n", self._hub, "link", "set", "br0", "up")
            # the kernel takes down the namespace of the test before in its own time, and this link's end with it
            subprocess.run(["ip", "link", "del", self._own], capture_output=True, timeout=PATIENCE, check=False)
            _ip("link", "add", self._own, "type", "veth", "peer", "name", "host", "netns", self._hub)
            _ip("addr", "add", f"{net}.1/24", "dev", self._own)
            _ip("link", "set", self._own, "up")
            self._plug("host")
            for number, place in enumerate(places, 10):
                self._join(place, f"{net}.{number}")
        except BaseException:
            await self.close()
            raise

    def _free_net(self) -> str:
        """The beginning of a /24 out of what is set aside for measuring networks (RFC 2544)."""
        taken = _ip("-4", "-o", "addr")
        tries = ((os.getpid() + step) % 256 for step in range(256))
        return next(net for net in (f"198.18.{third}" for third in tries) if f" {net}." not in taken)

    def _plug(self, end: str) -> None:
        _ip("-n", self._hub, "link", "set", end, "master", "br0", "up")

    def _join(self, place: Place, address: str) -> None:
        namespace = self._own + place.name
        _ip("netns", "add", namespace)
        _ip("-n", namespace, "link", "add", "eth0", "type", "veth", "peer", "name", place.name, "netns", self._hub)
        _ip("-n", namespace, "addr", "add", f"{address}/24", "dev", "eth0")
        for end in ("lo", "eth0"):
            _ip("-n", namespace, "link", "set", end, "up")
        # What is for this address is looked up first of all; the rules that cut must come before that.
        _ip("-n", namespace, "rule", "add", "pref", "100", "lookup", "local")
        _ip("-n", namespace, "rule", "del", "pref", "0")
        self._plug(place.name)
        self._addresses[place.name] = address
        place.client, place.peer = f"{address}:2379", f"{address}:2380"
        place.listens = place.peer
        place.before = ["ip", "netns", "exec", namespace]

    def cut(self, source: str, target: str) -> None:
        if (source, target) not in self._cut:
            self._cut.add((source, target))
            self._rule("add", source, target)

    def mend(self) -> None:
        for source, target in self._cut:
            self._rule("del", source, target)
        self._cut.clear()

    def _rule(self, verb: str, source: str, target: str) -> None:
        which = ("pref", "10", "from", self._addresses[source], "iif", "eth0")
        _ip("-n", self._own + target, "rule", verb, *which, "blackhole")

    async def close(self) -> None:
        _remove(self._own)


def _remove(prefix: str) -> None:
    """All namespaces whose names begin so; with them go their devices, and the other ends of these."""
    for path in NAMES.glob(f"{prefix}*"):
        _ip("netns", "del", path.name)


def sweep() -> None:
    """Remove what is left of a process that was killed."""
    for path in NAMES.glob(f"{PREFIX}*hub"):
        owner = path.name[len(PREFIX) : -len("hub")]
        if owner.isdigit() and not psutil.pid_exists(int(owner)):
            _remove(PREFIX + owner)


class Proxies:
    """Who connects to a proxy is found in the system's table of sockets, so this needs no privileges."""

    def __init__(self) -> None:
        self._places: list[Place] = []
        self._servers: list[asyncio.Server] = []
        self._cut: set[tuple[str, str]] = set()
        self._mended = asyncio.Condition()
        self._tasks: set[asyncio.Task[None]] = set()

    async def open(self, places: list[Place]) -> None:
        self._places = places
        for place in places:
            place.client, place.peer, place.listens = (f"127.0.0.1:{free_port()}" for _ in range(3))
            place.before = []
            self._servers.append(await self._proxy(place))

    def cut(self, source: str, target: str) -> None:
        self._cut.add((source, target))

    def mend(self) -> None:
        self._cut.clear()
        task = asyncio.ensure_future(self._tell())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _tell(self) -> None:
        async with self._mended:
            self._mended.notify_all()

    async def close(self) -> None:
        for server in self._servers:
            server.close()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _proxy(self, target: Place) -> asyncio.Server:
        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            try:
                with contextlib.suppress(OSError):  # one of the two ends went away
                    await self._carry(target, reader, writer)
            finally:
                writer.close()

        def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            task = asyncio.ensure_future(serve(reader, writer))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

        host, _, port = target.peer.partition(":")
        return await asyncio.start_server(accept, host, int(port))

    async def _carry(self, target: Place, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        port = writer.get_extra_info("peername")[1]
        loop = asyncio.get_running_loop()
        owners = await loop.run_in_executor(None, lambda: [one.name for one in self._places if _owns(one, port)])
        source = owners[0] if owners else ""
        host, _, listens = target.listens.partition(":")
        there, back = await asyncio.open_connection(host, int(listens))
        try:
            ways = [
                asyncio.ensure_future(self._pass(source, target.name, reader, back)),
                asyncio.ensure_future(self._pass(target.name, source, there, writer)),
            ]
            try:
                await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
            finally:
                for way in ways:
                    way.cancel()
                await asyncio.gather(*ways, return_exceptions=True)
        finally:
            back.close()

    async def _pass(self, source: str, target: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(1 << 16):
            async with self._mended:
                await self._mended.wait_for(lambda: (source, target) not in self._cut)
            writer.write(data)
            await writer.drain()


def _owns(place: Place, port: int) -> bool:
    """Does the member's process have a socket with this local port?"""
    if place.process is None or place.process.poll() is not None:
        return False
    try:
        sockets = psutil.Process(place.process.pid).net_connections("tcp")
    except psutil.Error:
        return False
    return any(socket.laddr and socket.laddr.port == port for socket in sockets)
