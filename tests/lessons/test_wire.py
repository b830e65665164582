"""HTTP by hand: a server that dies in the middle of an answer is a line that broke, whatever the library calls it."""

from __future__ import annotations

import http.client
import socket
import threading
from collections.abc import Callable
from typing import Any

import pytest

from workshop.lessons.wire import Wire

EVENT = b'{"type":"ADDED","object":{"metadata":{"name":"a","resourceVersion":"2"}}}\n'


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


CHUNKED = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"


@pytest.fixture
def answering(monkeypatch: pytest.MonkeyPatch) -> Callable[[bytes], Wire]:
    """A Wire whose server sends these bytes and is gone."""

    def make(raw: bytes) -> Wire:
        listening = socket.create_server(("127.0.0.1", 0))

        def serve() -> None:
            with listening, listening.accept()[0] as connection:
                connection.recv(65536)
                connection.sendall(raw)

        threading.Thread(target=serve, daemon=True).start()
        port = listening.getsockname()[1]

        def connect(self: Wire, anonymous: bool, timeout: float | None = 10.0) -> Any:
            return http.client.HTTPConnection("127.0.0.1", port, timeout=60)

        monkeypatch.setattr(Wire, "_connect", connect)
        return Wire.__new__(Wire)

    return make


@pytest.mark.parametrize(
    "raw", [b"", b"HTTP/1.1 200", b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n{", CHUNKED + b"9\r\n{"]
)
def test_an_answer_that_breaks_off(answering: Callable[[bytes], Wire], raw: bytes) -> None:
    with pytest.raises(OSError):
        answering(raw).list("/api/v1/configmaps")


@pytest.mark.parametrize("rest", [chunk(EVENT[:20]), b"99\r\n" + EVENT[:20]])
def test_a_watch_that_breaks_off(answering: Callable[[bytes], Wire], rest: bytes) -> None:
    watch = answering(CHUNKED + chunk(EVENT) + rest).watch("/api/v1/configmaps", "1")
    assert next(watch)["object"]["metadata"]["name"] == "a"
    with pytest.raises(OSError):
        next(watch)


@pytest.mark.parametrize("rest", [b"0\r\n\r\n", b"", b"garbage\r\n"])
def test_a_watch_that_ends(answering: Callable[[bytes], Wire], rest: bytes) -> None:
    assert len(list(answering(CHUNKED + chunk(EVENT) + rest).watch("/api/v1/configmaps", "1"))) == 1


def test_a_server_that_has_no_watch_to_give(answering: Callable[[bytes], Wire]) -> None:
    with pytest.raises(OSError, match="403"):
        next(answering(b"HTTP/1.1 403 Forbidden\r\ncontent-length: 2\r\n\r\n{}").watch("/api/v1/configmaps", "1"))
