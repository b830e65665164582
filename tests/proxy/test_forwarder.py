"""The forwarder on real sockets of this machine's loopback."""

import asyncio
import socket
from contextlib import asynccontextmanager
from random import Random

import pytest

from tests.ports import free_port
from workshop.clock import SYSTEM
from workshop.proxy.forwarder import Forwarder
from workshop.proxy.rules import Endpoint, Listen, Target

SERVICE = "127.89.128.9"


@pytest.fixture
async def forwarder():
    forwarder = Forwarder(SYSTEM, Random(7))
    yield forwarder
    await forwarder.close()


@asynccontextmanager
async def backend(name, answer):
    """A TCP server on an address of its own; `answer(reader, writer)` serves each connection."""

    async def serve(reader, writer):
        try:
            await answer(reader, writer, name)
        finally:
            writer.close()

    server = await asyncio.start_server(serve, f"127.89.0.{name}", 0)
    async with server:
        yield Endpoint(*server.sockets[0].getsockname())


async def say_name(reader, writer, name):
    writer.write(str(name).encode())


async def shout(reader, writer, name):
    """Answers only when the client has ended its direction: works only where half-close is passed on."""
    writer.write((await reader.read()).upper())


async def name_then_shout(reader, writer, name):
    await say_name(reader, writer, name)
    await shout(reader, writer, name)


async def ask(at, data=b""):
    reader, writer = await asyncio.open_connection(at.address, at.port)
    try:
        writer.write(data)
        writer.write_eof()
        return await asyncio.wait_for(reader.read(), 60)
    finally:
        writer.close()


async def test_connections_are_spread_over_all_endpoints(forwarder):
    at = Listen("TCP", SERVICE, free_port(SERVICE))
    async with backend(5, say_name) as a, backend(6, say_name) as b, backend(7, say_name) as c:
        assert await forwarder.apply({at: Target("web", (a, b, c), 0)}) == {}
        answers = [await ask(at) for _ in range(9)]
    assert {answers.count(name) for name in (b"5", b"6", b"7")} == {3}


async def test_half_close_is_passed_on(forwarder):
    at = Listen("TCP", SERVICE, free_port(SERVICE))
    async with backend(5, shout) as a:
        await forwarder.apply({at: Target("web", (a,), 0)})
        text = b"k" * 300_000
        assert await ask(at, text) == text.upper()


async def test_no_endpoint_is_a_refused_connection(forwarder):
    at = Listen("TCP", SERVICE, free_port(SERVICE))
    async with backend(5, say_name) as a:
        await forwarder.apply({at: Target("web", (a,), 0)})
        assert await ask(at) == b"5"
        await forwarder.apply({})
        with pytest.raises(ConnectionRefusedError):
            await ask(at)


async def test_a_dead_endpoint_is_skipped(forwarder):
    at = Listen("TCP", SERVICE, free_port(SERVICE))
    dead = Endpoint("127.89.0.99", free_port(SERVICE))
    async with backend(5, say_name) as a:
        await forwarder.apply({at: Target("web", (dead, a), 0)})
        assert [await ask(at) for _ in range(4)] == [b"5"] * 4


async def test_a_connection_outlives_a_change_of_endpoints(forwarder):
    at = Listen("TCP", SERVICE, free_port(SERVICE))
    async with backend(5, name_then_shout) as a, backend(6, say_name) as b:
        await forwarder.apply({at: Target("web", (a,), 0)})
        reader, writer = await asyncio.open_connection(at.address, at.port)
        assert await asyncio.wait_for(reader.readexactly(1), 60) == b"5"
        await forwarder.apply({at: Target("web", (b,), 0)})
        assert await ask(at) == b"6"
        writer.write(b"late")
        writer.write_eof()
        assert await asyncio.wait_for(reader.read(), 60) == b"LATE"
        writer.close()


async def test_two_nodes_share_an_address(forwarder):
    at = Listen("TCP", SERVICE, free_port(SERVICE))
    second = Forwarder(SYSTEM, Random(8))
    async with backend(5, say_name) as a:
        rules = {at: Target("web", (a,), 0)}
        assert await forwarder.apply(rules) == {}
        assert await second.apply(rules) == {}
        await forwarder.close()
        assert await ask(at) == b"5"
        await second.close()


async def test_a_port_in_use_is_told_and_tried_again(forwarder):
    with socket.create_server((SERVICE, 0)) as stranger:
        at = Listen("TCP", SERVICE, stranger.getsockname()[1])
        async with backend(5, say_name) as a:
            rules = {at: Target("web", (a,), 0)}
            problem = (await forwarder.apply(rules))[at]
            assert problem == f"can't open port {at} for web: Address already in use"
            stranger.close()
            assert await forwarder.apply(rules) == {}
            assert await ask(at) == b"5"


class Echo(asyncio.DatagramProtocol):
    def connection_made(self, transport):
        self.transport = transport

    def datagram_received(self, data, addr):
        self.transport.sendto(data.upper(), addr)


class Client(asyncio.DatagramProtocol):
    def __init__(self):
        self.received = asyncio.Queue()

    def datagram_received(self, data, addr):
        self.received.put_nowait(data)


async def test_udp_goes_there_and_back(forwarder):
    loop = asyncio.get_running_loop()
    echo, _ = await loop.create_datagram_endpoint(Echo, local_addr=("127.89.0.5", 0))
    at = Listen("UDP", SERVICE, free_port(SERVICE, socket.SOCK_DGRAM))
    target = Target("dns", (Endpoint(*echo.get_extra_info("sockname")),), 0)
    assert await forwarder.apply({at: target}) == {}
    transport, client = await loop.create_datagram_endpoint(Client, remote_addr=(at.address, at.port))
    for word in (b"one", b"two"):
        transport.sendto(word)
        assert await asyncio.wait_for(client.received.get(), 60) == word.upper()
    transport.close()
    echo.close()


def test_proxies_that_share_an_address_choose_alike_for_a_new_client():
    """Mode plain: a client with affinity comes to any node's proxy, and finds the same endpoint behind each."""
    at, ends = Listen("TCP", SERVICE, 80), tuple(Endpoint("127.0.0.1", port) for port in (1, 2, 3))
    proxies = [Forwarder(SYSTEM, Random(seed), shared=True) for seed in (1, 2)]
    for each in proxies:
        each.rules = {at: Target("web", ends, 60)}
    proxies[0].choose(at, "127.0.0.9")  # one of them has seen another client before
    first, second = (each.choose(at, "127.0.0.1") for each in proxies)
    assert first == second
    proxies[0].refused(at, "127.0.0.1")
    assert proxies[0].choose(at, "127.0.0.1") != first
