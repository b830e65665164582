"""Ports of the node that lead to a pod: TCP with both ends, UDP with a way back, and what is taken."""

from __future__ import annotations

import asyncio

import pytest

from tests import ports
from workshop.kubelet.cri import PortMapping
from workshop.kubelet.network import NetworkError
from workshop.kubelet.network.hostports import HostPorts

POD = "127.0.0.1"


class Echo(asyncio.DatagramProtocol):
    def connection_made(self, transport):
        self.transport = transport

    def datagram_received(self, data, addr):
        self.transport.sendto(b"pod: " + data, addr)


class Client(asyncio.DatagramProtocol):
    def __init__(self):
        self.heard = asyncio.get_running_loop().create_future()

    def datagram_received(self, data, addr):
        self.heard.set_result(data)


async def test_tcp_and_udp_reach_the_pod_until_it_is_gone():
    async def answer(reader, writer):
        writer.write(b"pod: " + await reader.read())  # what comes after the end of the other side
        writer.close()

    loop = asyncio.get_running_loop()
    port, host = ports.free_port(), ports.free_port()
    server = await asyncio.start_server(answer, POD, port)
    echo, _ = await loop.create_datagram_endpoint(Echo, local_addr=(POD, port))
    node = HostPorts("127.0.0.1")
    mappings = [PortMapping(port, host), PortMapping(port, host, "UDP"), PortMapping(port)]
    try:
        ways = node.ways(mappings, POD, 10000, 0)
        assert len(ways) == 2
        await node.open("s", ways)
        reader, writer = await asyncio.open_connection("127.0.0.1", host)
        writer.write(b"hello")
        writer.write_eof()
        assert await asyncio.wait_for(reader.read(), 60) == b"pod: hello"
        writer.close()
        asking, client = await loop.create_datagram_endpoint(Client, remote_addr=("127.0.0.1", host))
        asking.sendto(b"hi")
        assert await asyncio.wait_for(client.heard, 60) == b"pod: hi"
        asking.close()
        with pytest.raises(NetworkError, match="address already in use"):
            await HostPorts("127.0.0.1").open("other", ways[:1])
        node.close("s")
        with pytest.raises(ConnectionRefusedError):
            await asyncio.open_connection("127.0.0.1", host)
    finally:
        node.close_all()
        echo.close()
        server.close()


def test_low_ports_are_shifted_where_nobody_may_bind_them():
    (way,) = HostPorts("127.1.0.1").ways([PortMapping(80, 443, "TCP", "127.1.0.9")], "127.1.0.5", 10000, 1024)
    assert (way.host, way.host_port, way.address, way.port) == ("127.1.0.9", 10443, "127.1.0.5", 10080)
