"""WebSockets as a client, by aiohttp. Imported only when one is opened: few need it, and it is large."""

from __future__ import annotations

import ssl
from collections.abc import Mapping

import aiohttp
from yarl import URL

from .transport import Unreachable, reason


class ClientWebSocket:
    """One open WebSocket; its session goes with it."""

    def __init__(self, session: aiohttp.ClientSession, socket: aiohttp.ClientWebSocketResponse) -> None:
        self._session, self._socket = session, socket
        self.protocol = socket.protocol or ""

    async def send(self, data: bytes | str) -> None:
        try:
            if isinstance(data, str):
                await self._socket.send_str(data)
            else:
                await self._socket.send_bytes(data)
        except (aiohttp.ClientConnectionError, ConnectionError) as error:
            raise Unreachable(f"websocket: {error}") from error

    async def receive(self) -> bytes | str | None:
        message = await self._socket.receive()
        if message.type in (aiohttp.WSMsgType.BINARY, aiohttp.WSMsgType.TEXT):
            data: bytes | str = message.data
            return data
        return None

    async def close(self) -> None:
        await self._socket.close()
        await self._session.close()


async def connect(
    url: str,
    tls: ssl.SSLContext | None,
    server_name: str | None,
    headers: Mapping[str, str],
    protocols: tuple[str, ...],
) -> ClientWebSocket | int:
    """An open WebSocket, or the status by which the server refused it. Raises Unreachable."""
    connector = aiohttp.TCPConnector(ssl=tls if tls is not None else False)
    session = aiohttp.ClientSession(
        connector=connector, cookie_jar=aiohttp.DummyCookieJar(), skip_auto_headers=("Accept-Encoding", "User-Agent")
    )
    opened = False
    try:
        socket = await session.ws_connect(
            URL(url, encoded=True),
            headers=dict(headers),
            protocols=protocols,
            server_hostname=server_name,
            max_msg_size=0,
        )
        opened = True
    except aiohttp.WSServerHandshakeError as error:
        return error.status
    except (aiohttp.ClientConnectionError, TimeoutError) as error:
        raise Unreachable(reason("GET", url, error)) from error
    finally:
        if not opened:
            await session.close()
    return ClientWebSocket(session, socket)
