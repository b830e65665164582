"""TLS between a socket and a protocol, in which a client may say "that was all" and still get his answer.

asyncio's own ends a connection as soon as the other side has closed its half. A request that has come whole is to be
answered all the same, as Go's servers do: here the protocol says by `eof_received` whether it wants to go on writing.
A client that speaks HTTP without TLS is told so, one that does not finish its handshake is cut off.

Upstream: Go's `crypto/tls/conn.go` and the beginning of `conn.serve` in `net/http/server.go`.
"""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import Iterable
from typing import Any

HANDSHAKE = 32.0
"""Seconds that a handshake may take."""
RECORD = 16 * 1024
"""Bytes that TLS carries in one piece, at most."""
NO_TLS = b"HTTP/1.0 400 Bad Request\r\n\r\nClient sent an HTTP request to an HTTPS server.\n"


class Secured(asyncio.Transport, asyncio.BufferedProtocol):
    """The socket's protocol, and the transport of `protocol`. What comes in passes through `buffer`, which all
    connections of one loop may share: nothing stays in it. While hands are shaken it stands in `shaking`."""

    def __init__(
        self, context: ssl.SSLContext, protocol: asyncio.Protocol, buffer: memoryview, shaking: set[Secured]
    ) -> None:
        super().__init__()
        self._buffer, self._shaking = buffer, shaking
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._incoming, self._outgoing, server_side=True)
        self._protocol: Any = protocol
        self._socket: asyncio.Transport
        self._impatient: asyncio.TimerHandle | None = None
        self._shaken = False
        """The handshake is over."""
        self._deaf = False
        """Nothing more is read, and nothing written."""
        self._paused = False
        self._stays: bool | None = None  # after the client's last byte; None until that has come

    # --- from the socket

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._socket = transport
        self._shaking.add(self)
        self._impatient = asyncio.get_running_loop().call_later(HANDSHAKE, transport.abort)

    def get_buffer(self, sizehint: int) -> memoryview:
        return self._buffer

    def buffer_updated(self, nbytes: int) -> None:
        if self._deaf:
            return
        self._incoming.write(self._buffer[:nbytes])
        if self._shaken or self._shake():
            self._deliver()

    def _shake(self) -> bool:
        try:
            self._tls.do_handshake()
        except ssl.SSLWantReadError:
            self._flush()
            return False
        except ssl.SSLError as error:
            self._flush()  # an alert, which says why
            if error.reason == "HTTP_REQUEST":
                self._socket.write(NO_TLS)
            self._end()
            return False
        self._flush()
        self._shaken = True
        self._patient()
        self._protocol.connection_made(self)
        return True

    def _patient(self) -> None:
        self._shaking.discard(self)
        if self._impatient is not None:
            self._impatient.cancel()
            self._impatient = None

    def _deliver(self) -> None:
        """What has come, as long as the protocol takes it."""
        try:
            while not self._paused and not self._deaf:
                data = self._tls.read(RECORD)
                if not data:
                    self.eof_received()
                    return
                self._protocol.data_received(data)
                if not self._incoming.pending and not self._tls.pending():
                    break  # one question more would be answered by an exception, which costs more than both
            self._flush()
        except ssl.SSLWantReadError:
            self._flush()
        except ssl.SSLError:
            self._flush()
            self._end()

    def eof_received(self) -> bool:
        """The client has said, in TLS or by its socket, that nothing more comes."""
        if self._stays is None:
            self._stays = self._shaken and not self._deaf and bool(self._protocol.eof_received())
            if not self._stays:
                self.close()
        return self._stays and not self._socket.is_closing()

    def connection_lost(self, error: Exception | None) -> None:
        self._deaf = True
        self._patient()
        if self._shaken:
            self._protocol.connection_lost(error)

    def pause_writing(self) -> None:
        if self._shaken:
            self._protocol.pause_writing()

    def resume_writing(self) -> None:
        if self._shaken:
            self._protocol.resume_writing()

    def _flush(self) -> None:
        if self._outgoing.pending:
            self._socket.write(self._outgoing.read())

    # --- from the protocol

    def write(self, data: bytes | bytearray | memoryview) -> None:
        if self._deaf or not data:
            return
        written = self._tls.write(data)
        while written < len(data):  # a record at a time
            data = memoryview(data)[written:]
            written = self._tls.write(data)
        self._socket.write(self._outgoing.read())

    def writelines(self, list_of_data: Iterable[Any]) -> None:
        self.write(b"".join(list_of_data))

    def can_write_eof(self) -> bool:
        return True

    def write_eof(self) -> None:
        """Say that nothing more comes. What comes in from now on is thrown away."""
        if not self._deaf:
            self._take_leave()
            self._socket.write_eof()

    def close(self) -> None:
        self._take_leave()
        self._end()

    def _take_leave(self) -> None:
        if self._shaken and not self._deaf:
            with contextlib.suppress(ssl.SSLError):  # it wants to read the other's farewell, which we do not wait for
                self._tls.unwrap()
            self._flush()
        self._deaf = True

    def _end(self) -> None:
        self._deaf = True
        self._socket.close()

    def abort(self) -> None:
        self._deaf = True
        self._socket.abort()

    def is_closing(self) -> bool:
        return self._deaf or self._socket.is_closing()

    def pause_reading(self) -> None:
        self._paused = True
        self._socket.pause_reading()

    def resume_reading(self) -> None:
        """What has been decrypted meanwhile comes first."""
        if self._paused:
            self._paused = False
            if not self._deaf:
                self._socket.resume_reading()
                asyncio.get_running_loop().call_soon(self._deliver)

    def is_reading(self) -> bool:
        return not self._paused and self._socket.is_reading()

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        self._protocol = protocol

    def get_protocol(self) -> asyncio.BaseProtocol:
        found: asyncio.BaseProtocol = self._protocol
        return found

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return self._tls if name == "ssl_object" else self._socket.get_extra_info(name, default)

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        self._socket.set_write_buffer_limits(high, low)

    def get_write_buffer_size(self) -> int:
        return self._socket.get_write_buffer_size()

    def get_write_buffer_limits(self) -> tuple[int, int]:
        return self._socket.get_write_buffer_limits()
