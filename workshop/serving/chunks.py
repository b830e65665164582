"""A body that comes in chunks, each with its size before it.

    4\\r\\nWiki\\r\\n0\\r\\n\\r\\n     ->  Wiki

Pure: bytes go in as they come, what they carry comes out. The words of refusal are Go's: an API server hands them on.
Upstream: Go's `net/http/internal/chunked.go`, and `readTrailer` of `net/http/transfer.go`.
"""

from __future__ import annotations

import re

LONGEST_LINE = 4096
MOST_OVERHEAD = 16 * 1024
_HEX = re.compile(rb"[0-9a-fA-F]*")


class Malformed(Exception):
    """No chunks: nothing more can be read on this connection."""


class Chunks:
    def __init__(self) -> None:
        self._held = b""  # the beginning of a line, or of the end of a chunk
        self._left = 0  # bytes of this chunk that are still to come
        self._overhead = 0
        self._closes = False  # the end of a chunk comes next
        self._trails = False  # after the last chunk: trailers
        self.complete = False
        self.rest = b""
        """What came after the end: the next request."""

    def feed(self, data: bytes) -> bytes:
        """What `data` carries. Raises Malformed; what stood before the fault is lost with it."""
        data, self._held = self._held + data, b""
        found, at = [], 0
        while at < len(data) and not self.complete:
            if self._left:
                piece = data[at : at + self._left]
                found.append(piece)
                at += len(piece)
                self._left -= len(piece)
                self._closes = not self._left
            elif self._closes:
                if len(data) - at < 2:
                    break
                if data[at : at + 2] != b"\r\n":
                    raise Malformed("malformed chunked encoding")
                at, self._closes = at + 2, False
            else:
                end = data.find(b"\n", at)
                if self._trails:
                    at = self._trailer(data, at, end)
                    if at < 0:
                        return b"".join(found)
                    continue
                if end < 0:
                    if len(data) - at >= LONGEST_LINE:
                        raise Malformed("header line too long")
                    break
                self._begin(data[at : end + 1])
                at = end + 1
        if self.complete:
            self.rest = data[at:]
        else:
            self._held = data[at:]
        return b"".join(found)

    def _begin(self, line: bytes) -> None:
        """The size of a chunk, and perhaps more that nobody reads: `1a ; name=value`."""
        if b"\r" not in line:
            raise Malformed("chunked line ends with bare LF")
        if line.index(b"\r") != len(line) - 2:
            raise Malformed("invalid CR in chunked line")
        line = line[:-2]
        if len(line) >= LONGEST_LINE:
            raise Malformed("header line too long")
        size = line.rstrip(b" \t").partition(b";")[0]
        if not size:
            raise Malformed("empty hex number for chunk length")
        for at, digit in enumerate(size):
            if not _HEX.fullmatch(bytes([digit])):
                raise Malformed("invalid byte in chunk length")
            if at == 16:
                raise Malformed("http chunk length too large")
        self._left = int(size, 16)
        self._overhead = max(0, self._overhead + len(line) + 2 - 16 - 2 * self._left)
        if self._overhead > MOST_OVERHEAD:
            raise Malformed("chunked encoding contains too much non-data")
        self._trails = not self._left

    def _trailer(self, data: bytes, at: int, end: int) -> int:
        """Past a line after the last chunk; -1 if it has not come whole."""
        if end < 0:
            if len(data) - at >= LONGEST_LINE:
                raise Malformed("http: suspiciously long trailer after chunked body")
            self._held = data[at:]
            return -1
        line = data[at:end].removesuffix(b"\r")
        if not line:
            self.complete = True
        elif b":" not in line:
            raise Malformed(f"malformed MIME header: missing colon: {_quoted(line)}")
        return end + 1


def _quoted(line: bytes) -> str:
    return '"' + line.decode("latin-1").replace("\\", "\\\\").replace('"', '\\"') + '"'
