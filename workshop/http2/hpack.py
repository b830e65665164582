"""HPACK: headers of HTTP/2, compressed by what both sides remember. Pure.

A header block is a row of representations; the first bits of each say which:

    1xxxxxxx   an indexed field: name and value stand in the table
    01xxxxxx   a literal that enters the table; its name by index, or 0 and spelled out
    001xxxxx   a new limit for the table's size
    0000xxxx   a literal that does not enter it (0001xxxx: and must never)

The table is the static one (1 to 61), then the dynamic one, newest first. Strings may be Huffman-coded. The code is
canonical: the lengths of its 257 words give the words.

Only the decoder is a whole one. A server that says little may send literals only, and remembers nothing.
Source: RFC 7541; the tables are its appendices A and B.
"""

from __future__ import annotations

from collections import deque
from functools import cache, lru_cache

Field = tuple[str, str]

#: What the dynamic table costs for an entry, beside its characters.
ENTRY_OVERHEAD = 32
#: The size of the dynamic table that we announce (the default of HTTP/2).
TABLE_SIZE = 4096

_STATIC_TEXT = (
    ":authority; :method=GET; :method=POST; :path=/; :path=/index.html; :scheme=http; :scheme=https; :status=200; "
    ":status=204; :status=206; :status=304; :status=400; :status=404; :status=500; accept-charset; "
    "accept-encoding=gzip, deflate; accept-language; accept-ranges; accept; access-control-allow-origin; age; allow; "
    "authorization; cache-control; content-disposition; content-encoding; content-language; content-length; "
    "content-location; content-range; content-type; cookie; date; etag; expect; expires; from; host; if-match; "
    "if-modified-since; if-none-match; if-range; if-unmodified-since; last-modified; link; location; max-forwards; "
    "proxy-authenticate; proxy-authorization; range; referer; refresh; retry-after; server; set-cookie; "
    "strict-transport-security; transfer-encoding; user-agent; vary; via; www-authenticate "
)

#: The 61 fields that every table begins with.
STATIC: list[Field] = [(name, value) for name, _, value in (f.strip().partition("=") for f in _STATIC_TEXT.split(";"))]

# fmt: off
#: Bits of the Huffman word for each byte, and for the end of a string.
_LENGTHS = (
    13, 23, 28, 28, 28, 28, 28, 28, 28, 24, 30, 28, 28, 30, 28, 28, 28, 28, 28, 28, 28, 28, 30, 28, 28, 28, 28, 28,
    28, 28, 28, 28, 6, 10, 10, 12, 13, 6, 8, 11, 10, 10, 8, 11, 8, 6, 6, 6, 5, 5, 5, 6, 6, 6, 6, 6,
    6, 6, 7, 8, 15, 6, 12, 10, 13, 6, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7,
    7, 7, 7, 7, 8, 7, 8, 13, 19, 13, 14, 6, 15, 5, 6, 5, 6, 5, 6, 6, 6, 5, 7, 7, 6, 6, 6, 5,
    6, 7, 6, 5, 5, 6, 7, 7, 7, 7, 7, 15, 11, 14, 13, 28, 20, 22, 20, 20, 22, 22, 22, 23, 22, 23, 23, 23,
    23, 23, 24, 23, 24, 24, 22, 23, 24, 23, 23, 23, 23, 21, 22, 23, 22, 23, 23, 24, 22, 21, 20, 22, 22, 23, 23, 21,
    23, 22, 22, 24, 21, 22, 23, 23, 21, 21, 22, 21, 23, 22, 23, 23, 20, 22, 22, 22, 23, 22, 22, 23, 26, 26, 20, 19,
    22, 23, 22, 25, 26, 26, 26, 27, 27, 26, 24, 25, 19, 21, 26, 27, 27, 26, 27, 24, 21, 21, 26, 26, 28, 27, 27, 27,
    20, 24, 20, 21, 22, 21, 21, 23, 22, 22, 25, 25, 24, 24, 26, 23, 26, 27, 26, 26, 27, 27, 27, 27, 27, 28, 27, 27,
    27, 27, 27, 26, 30,
)
# fmt: on


class HpackError(Exception):
    """A block that cannot be decoded. The connection is lost: the tables of the two sides differ now."""


@cache
def _huffman() -> dict[tuple[int, int], int]:
    """(bits, word) -> byte, made when first needed."""
    words, word, before = {}, 0, 0
    for symbol in sorted(range(257), key=lambda symbol: (_LENGTHS[symbol], symbol)):
        word <<= _LENGTHS[symbol] - before
        before = _LENGTHS[symbol]
        words[before, word] = symbol
        word += 1
    return words


def decode_huffman(data: bytes) -> bytes:
    """The string behind Huffman-coded bytes. Raises HpackError."""
    words, out = _huffman(), bytearray()
    bits = word = 0
    for byte in data:
        for shift in range(7, -1, -1):
            word = word << 1 | byte >> shift & 1
            bits += 1
            symbol = words.get((bits, word))
            if symbol is not None:
                if symbol == 256:
                    raise HpackError("the end of a string inside it")
                out.append(symbol)
                bits = word = 0
    if bits > 7 or word != (1 << bits) - 1:
        raise HpackError("padding that is not all ones")
    return bytes(out)


def _integer(data: bytes, at: int, prefix: int) -> tuple[int, int]:
    """(number, offset after it) of an integer whose first byte gives it `prefix` bits (section 5.1)."""
    mask = (1 << prefix) - 1
    value = data[at] & mask
    at += 1
    if value < mask:
        return value, at
    for shift in range(0, 35, 7):
        byte = data[at]
        at += 1
        value += (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
    raise HpackError("an integer that is too large")


@lru_cache(4096)
def _short_text(coded: bytes, huffman: bool) -> str:
    return (decode_huffman(coded) if huffman else coded).decode("latin-1")


def _string(data: bytes, at: int) -> tuple[str, int]:
    length, start = _integer(data, at, 7)
    end = start + length
    if end > len(data):
        raise HpackError("a string that is cut short")
    coded, huffman = data[start:end], bool(data[at] & 0x80)
    if length > 64:  # long ones seldom come twice
        return (decode_huffman(coded) if huffman else coded).decode("latin-1"), end
    return _short_text(coded, huffman), end


class Decoder:
    """One direction of a connection; blocks must be given in the order in which they came."""

    def __init__(self) -> None:
        self._dynamic: deque[Field] = deque()
        self._size, self._limit = 0, TABLE_SIZE
        #: Blocks of indexed fields only mean the same as long as the table stays as it is: calls repeat them.
        self._known: dict[bytes, dict[str, str]] = {}

    def decode(self, block: bytes) -> dict[str, str]:
        """The fields of a block; values of one name are joined by commas. Raises HpackError."""
        known = self._known.get(block)
        if known is not None:
            return known
        try:
            return self._decode(block)
        except IndexError:
            raise HpackError("a block that is cut short") from None

    def _decode(self, block: bytes) -> dict[str, str]:
        fields: dict[str, str] = {}
        at, end, unchanged = 0, len(block), True
        while at < end:
            first = block[at]
            if first & 0x80:
                index, at = _integer(block, at, 7)
                name, value = self._field(index)
            elif first & 0xE0 == 0x20:
                limit, at = _integer(block, at, 5)
                if limit > TABLE_SIZE:
                    raise HpackError("a table larger than allowed")
                self._limit, unchanged = limit, False
                self._evict()
                continue
            else:
                enters = bool(first & 0x40)
                index, at = _integer(block, at, 6 if enters else 4)
                if index:
                    name = self._field(index)[0]
                else:
                    name, at = _string(block, at)
                value, at = _string(block, at)
                if enters:
                    unchanged = False
                    self._enter(name, value)
            fields[name] = f"{fields[name]},{value}" if name in fields else value
        if not unchanged:
            self._known.clear()
        else:
            if len(self._known) >= 256:
                self._known.clear()
            self._known[block] = fields
        return fields

    def _field(self, index: int) -> Field:
        if not index:
            raise HpackError("index 0")
        if index <= len(STATIC):
            return STATIC[index - 1]
        return self._dynamic[index - len(STATIC) - 1]

    def _enter(self, name: str, value: str) -> None:
        self._dynamic.appendleft((name, value))
        self._size += len(name) + len(value) + ENTRY_OVERHEAD
        self._evict()

    def _evict(self) -> None:
        while self._size > self._limit:
            name, value = self._dynamic.pop()
            self._size -= len(name) + len(value) + ENTRY_OVERHEAD


def _length(number: int) -> bytes:
    if number < 0x7F:
        return bytes((number,))
    out, number = bytearray((0x7F,)), number - 0x7F
    while number >= 0x80:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)


def encode(fields: list[Field]) -> bytes:
    """A block of literals that enter no table; `:status 200` by its index."""
    out = []
    for name, value in fields:
        if (name, value) == (":status", "200"):
            out.append(b"\x88")
            continue
        raw = value.encode("latin-1")
        out += (b"\x00", _length(len(name)), name.encode(), _length(len(raw)), raw)
    return b"".join(out)
