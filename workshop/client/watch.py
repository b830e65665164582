"""The stream of changes. Upstream: `client-go/rest/watch` and `apimachinery/pkg/watch/streamwatcher.go`.

On the wire a watch is one JSON document a line, of any length: `{"type": "ADDED", "object": {…}}`.
"""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable
from types import TracebackType
from typing import Any

from workshop.api.errors import ApiError
from workshop.api.meta import Obj

from .transport import Response

INITIAL_EVENTS_END = "k8s.io/initial-events-end"

Event = tuple[str, Obj]


class Lines:
    """Cuts a stream of bytes into lines; a line may span any number of chunks.

    >>> lines = Lines()
    >>> lines.feed(b'{"a":'), lines.feed(b'1}\\n{"b":2}\\n{')
    ([], [b'{"a":1}', b'{"b":2}'])
    """

    def __init__(self) -> None:
        self._partial: list[bytes] = []

    def feed(self, chunk: bytes) -> list[bytes]:
        head, newline, rest = chunk.partition(b"\n")
        self._partial.append(head)
        if not newline:
            return []
        lines = [b"".join(self._partial), *rest.split(b"\n")]
        self._partial = [lines.pop()]
        return [line for line in lines if line]


class Watch:
    """`async for kind, obj in client.watch(pods)`: kind is ADDED, MODIFIED, DELETED or BOOKMARK.

    Opens at the first step. Ends when the server ends the stream (its time is up, or it goes away); resume from
    the last object's resourceVersion. An ERROR event is raised as ApiError, 410 Gone above all. Close it
    (`async with`, or `aclose`) when you leave before the end.
    """

    def __init__(self, open: Callable[[], Awaitable[Response]], decode: Callable[[bytes], Any]) -> None:
        self._open = open
        self._decode = decode
        self._response: Response | None = None
        self._chunks: AsyncIterator[bytes] | None = None
        self._lines = Lines()
        self._events: deque[bytes] = deque()

    def __aiter__(self) -> Watch:
        return self

    async def __anext__(self) -> Event:
        await self._begin()
        assert self._chunks is not None
        while not self._events:
            try:
                self._events.extend(self._lines.feed(await anext(self._chunks)))
            except BaseException:
                self._close()
                raise
        event = self._decode(self._events.popleft())
        if event["type"] == "ERROR":
            self._close()
            raise ApiError(event["object"])
        return event["type"], event["object"]

    def _close(self) -> None:
        if self._response is not None:
            self._response.close()

    async def aclose(self) -> None:
        self._close()

    async def _begin(self) -> None:
        if self._chunks is None:
            self._response = await self._open()
            self._chunks = self._response.chunks()

    async def __aenter__(self) -> Watch:
        """The server has taken the request. Raises ApiError, Unreachable."""
        await self._begin()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._close()
