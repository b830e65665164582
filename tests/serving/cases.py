"""Requests as bytes, most of them odd: what an API server says to each stands in facts.yaml."""

from __future__ import annotations

import gzip
import re
from dataclasses import dataclass

from .dialogue import Dialogue, Server

MIB = 1 << 20
HOST = b" HTTP/1.1\r\nHost: x\r\n"
VERSION = b"GET /version" + HOST
MAPS = b"/api/v1/namespaces/default/configmaps"
MAP = b'{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"wire"}}'
POST = b"POST " + MAPS + b"?dryRun=All" + HOST + b"Content-Type: application/json\r\n"
WEBSOCKET = b"Connection: Upgrade\r\nUpgrade: websocket\r\n"
KEY = b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"


@dataclass(frozen=True)
class Case:
    name: str
    pieces: tuple[bytes, ...]
    """What is sent: each piece but the first after one more answer."""
    answers: int = 1
    bodiless: bool = False

    async def asked(self, server: Server) -> list[str]:
        """The answers, and whether the connection goes on after them."""
        async with Dialogue(server) as dialogue:
            heard, pieces = [], list(self.pieces)
            dialogue.say(pieces.pop(0))
            for _ in range(self.answers):
                heard.append(await dialogue.answer(self.bodiless))
                if pieces:
                    dialogue.say(pieces.pop(0))
            return [*heard, await dialogue.goes_on()]


def every() -> list[Case]:
    found = [*_lines(), *_methods(), *_targets(), *_headers(), *_lengths(), *_chunks(), *_connections(), *_bodies()]
    assert len({case.name for case in found}) == len(found)
    return found


def _case(name: str, *pieces: bytes, answers: int = 1, bodiless: bool = False) -> Case:
    return Case(name, pieces, max(answers, len(pieces)), bodiless)


def _shown(raw: bytes) -> str:
    return repr(raw)[2:-1]


def _lines() -> list[Case]:
    versions = [b"HTTP/9.9", b"HTTP/2.0", b"HTTP/1.2", b"HTTP/0.9", b"HTTP/1", b"HTTP/1.10", b"http/1.1", b"HTTP/a.b"]
    whole = {
        "one word": b"hello\r\n\r\n",
        "one word and no more": b"hello\r\n",
        "no version": b"GET /version\r\nHost: x\r\n\r\n",
        "an empty line first": b"\r\n" + VERSION + b"\r\n",
        "line feeds only": b"GET /version HTTP/1.1\nHost: x\n\n",
        "two blanks": b"GET  /version HTTP/1.1\r\nHost: x\r\n\r\n",
        "a blank at the end": b"GET /version HTTP/1.1 \r\nHost: x\r\n\r\n",
        "a blank at the beginning": b" GET /version HTTP/1.1\r\nHost: x\r\n\r\n",
        "no text": b"\x00\x01\x02\x03\r\n\r\n",
        "the preface of HTTP/2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        "a long target": b"GET /version?" + b"a" * (MIB // 2) + HOST + b"\r\n",
        "a target that is too long": b"GET /version?" + b"a" * (MIB + 8192) + HOST + b"\r\n",
        "a line without an end": b"a" * (MIB + 8192),
    }
    return [
        *(_case(f"version {_shown(v)}", b"GET /version " + v + b"\r\nHost: x\r\n\r\n") for v in versions),
        *(_case(name, raw) for name, raw in whole.items()),
    ]


def _methods() -> list[Case]:
    methods = [b"TRACE", b"BREW", b"CONNECT", b"OPTIONS", b"get", b"A!b", b"G@T", b"G(T", b"", b"DELETE", b"HEAD"]
    asked = [(method, path) for method in methods for path in (b"/version", b"/nothing")]
    asked += [(method, MAPS) for method in methods if method != b"DELETE"]
    asked += [(b"OPTIONS", b"*"), (b"GET", b"*"), (b"CONNECT", b"example.com:443"), (b"PRI", b"*")]
    return [
        *(_case(_shown(m + b" " + p), m + b" " + p + HOST + b"\r\n", bodiless=m == b"HEAD") for m, p in asked),
        _case("CONNECT without a host", b"CONNECT example.com:443 HTTP/1.1\r\n\r\n"),
    ]


def _targets() -> list[Case]:
    targets = [
        b"http://example.com/version", b"https://x/version?a=b", b"http://example.com", b"version", b"//version",
        b"/version#f", b"/version?", b"?x", b"http:/version", b"mailto:a", b"/%zz", b"/%", b"/\xff", b"/%ff",
        b"/ver%73ion", b"/\x01", b"/a%00b", b"/a\tb", b"http://[::1/version", b"http://[::1]:1/version",
        b"http://a:b/version", b"http://a b/version", b"/version?%zz", b"/version?a;b", MAPS + b"?limit=%zz",
        MAPS + b"?limit=1;2", b"/../version", b"/./version", b"/version/", b"//", b'/"<>^`{|}\\', b"/ver sion",
    ]  # fmt: skip
    return [_case(f"target {_shown(target)}", b"GET " + target + HOST + b"\r\n") for target in targets]


def _headers() -> list[Case]:
    hosts = {"no": b"", "an empty": b"Host:\r\n", "two": b"Host: a\r\nHost: b\r\n", "a bad": b"Host: a b\r\n",
             "a foreign": b"Host: a\x80b\r\n", "a folded": b" Host: x\r\n"}  # fmt: skip
    lines = [
        b"A:b", b"A: b\x80", b"A: \x00", b"A: b\x01", b"A: b\x7f", b"A : b", b": b", b"A", b"A\x80: b", b"A(: b",
        b"A: b\r\n folded", b"A: b\rc", b"A: b\tc", b"A:\t b \t", b"A_b: c", b" A: b", b"A: b\n B: c", b"\x00: a",
    ]  # fmt: skip
    large = {
        "a long header": b"A: " + b"b" * (MIB // 2) + b"\r\n",
        "a header that is too long": b"A: " + b"b" * (MIB + 8192) + b"\r\n",
        "many headers": b"".join(b"A%d: b\r\n" % number for number in range(5000)),
        "too many headers": b"".join(b"A%d: b\r\n" % number for number in range(120_000)),
    }
    return [
        *(_case(f"{name} host", b"GET /version HTTP/1.1\r\n" + host + b"\r\n") for name, host in hosts.items()),
        _case("no host in HTTP/1.0", b"GET /version HTTP/1.0\r\n\r\n"),
        *(_case(f"header {_shown(line)}", VERSION + line + b"\r\n\r\n") for line in lines),
        *(_case(name, VERSION + lines + b"\r\n") for name, lines in large.items()),
    ]


def _lengths() -> list[Case]:
    size = b"%d" % len(MAP)
    lengths = [b"-1", b"+65", b"abc", b"", size + b".0", b"0x41", b" " + size + b" ", size + b", " + size, b"9" * 20,
               b"0" + size, b"6_5"]  # fmt: skip
    twice = b"Content-Length: " + size + b"\r\nContent-Length: %b\r\n\r\n" + MAP
    return [
        *(_case(f"length {_shown(n)}", POST + b"Content-Length: " + n + b"\r\n\r\n" + MAP) for n in lengths),
        _case("a length twice", POST + twice % size),
        _case("two lengths", POST + twice % b"3"),
        _case("a body to GET", VERSION + b"Content-Length: 3\r\n\r\nabc"),
        _case("no length", POST + b"\r\n"),
        _case("no length but a body", POST + b"\r\n" + MAP),
    ]


def _in_chunks(*chunks: bytes) -> bytes:
    return b"".join(b"%x\r\n%b\r\n" % (len(chunk), chunk) for chunk in (*chunks, b""))


def _chunks() -> list[Case]:
    coding = b"Transfer-Encoding: chunked\r\n"
    whole, size = b"\r\n" + _in_chunks(MAP), b"%d" % len(MAP)
    heads = {
        "chunks": coding,
        "chunks and a length": coding + b"Content-Length: " + size + b"\r\n",
        "chunks and another length": coding + b"Content-Length: 3\r\n",
        "chunks and no length": coding + b"Content-Length: x\r\n",
        "chunked twice": coding * 2,
        "gzip and chunked": b"Transfer-Encoding: gzip, chunked\r\n",
        "Chunked": b"Transfer-Encoding: Chunked\r\n",
        "gzip": b"Transfer-Encoding: gzip\r\n",
        "an empty coding": b"Transfer-Encoding:\r\n",
        "a trailer that is a length": coding + b"Trailer: Content-Length\r\n",
    }
    bodies = {
        "no size": b"zz\r\n" + MAP + b"\r\n0\r\n\r\n",
        "a negative size": b"-1\r\n",
        "an empty size": b"\r\n" + MAP + b"\r\n0\r\n\r\n",
        "no end": b"41\r\n" + MAP + b"xx0\r\n\r\n",
        "line feeds": b"41\n" + MAP + b"\n0\n\n",
        "a huge size": b"f" * 18 + b"\r\n" + MAP,
        "an extension": b"41;a=b\r\n" + MAP + b"\r\n0\r\n\r\n",
        "a blank and an extension": b'41 ; a="b"\r\n' + MAP + b"\r\n0;x\r\n\r\n",
        "blanks": b"41  \r\n" + MAP + b"\r\n0\r\n\r\n",
        "a blank first": b" 41\r\n" + MAP + b"\r\n0\r\n\r\n",
        "zeros": b"00000000041\r\n" + MAP + b"\r\n000\r\n\r\n",
        "too many zeros": b"0" * 18 + b"41\r\n" + MAP + b"\r\n0\r\n\r\n",
        "a trailer": b"41\r\n" + MAP + b"\r\n0\r\nA: b\r\n\r\n",
        "a bad trailer": b"41\r\n" + MAP + b"\r\n0\r\nA b\r\n\r\n",
        "0x": b"0x41\r\n" + MAP + b"\r\n0\r\n\r\n",
        "a long extension": b"41;" + b"a" * 5000 + b"\r\n" + MAP + b"\r\n0\r\n\r\n",
        "nothing": b"0\r\n\r\n",
        "two pieces": _in_chunks(MAP[:9], MAP[9:]),
        "many pieces": _in_chunks(*(MAP[at : at + 1] for at in range(len(MAP)))),
        "more overhead than body": b"".join(b"1;%b\r\n \r\n" % (b"a" * 2000) for _ in range(40)) + b"0\r\n\r\n",
    }
    old = POST.replace(b"HTTP/1.1\r\nHost: x", b"HTTP/1.0")
    return [
        *(_case(name, POST + head + whole) for name, head in heads.items()),
        _case("chunks in HTTP/1.0", old + coding + whole),
        *(_case(f"a chunk with {name}", POST + coding + b"\r\n" + body) for name, body in bodies.items()),
        _case("no request after chunks", POST + coding + whole + b"garbage\r\n\r\n", answers=2),
        _case("bad chunks that nobody reads", VERSION + coding + b"\r\nzz\r\n"),
        _case("chunks that nobody reads", VERSION + coding + b"\r\n" + _in_chunks(b"abc")),
    ]


def _connections() -> list[Case]:
    length = b"Content-Length: %d\r\n\r\n" % len(MAP)
    old = b"GET %b HTTP/1.0\r\n%b\r\n"
    watch = MAPS.replace(b"default", b"none") + b"?watch=1&timeoutSeconds=1&resourceVersion=0"
    return [
        _case("expecting to go on", POST + b"Expect: 100-continue\r\n" + length, MAP),
        _case("expecting to go on, with capitals", POST + b"Expect: 100-Continue\r\n" + length, MAP),
        _case("expecting something else", POST + b"Expect: 200-ok\r\n" + length + MAP),
        _case("expecting, with a body at once", POST + b"Expect: 100-continue\r\n" + length + MAP, answers=2),
        _case("expecting without a body", VERSION + b"Expect: 100-continue\r\n\r\n"),
        _case("expecting in vain", b"POST /nothing" + HOST + b"Expect: 100-continue\r\nContent-Length: 9\r\n\r\n"),
        _case("three in a row", VERSION + b"\r\nGET /nothing" + HOST + b"\r\n" + VERSION + b"\r\n", answers=3),
        _case("one after a body", POST + length + MAP + VERSION + b"\r\n", answers=2),
        _case("an empty line after a body", POST + length + MAP + b"\r\n" + VERSION + b"\r\n", answers=2),
        _case("an empty line after none", VERSION + b"\r\n\r\n" + VERSION + b"\r\n", answers=2),
        _case("no request after one", VERSION + b"\r\nhello\r\n\r\n", answers=2),
        _case("one after the last", VERSION + b"Connection: close\r\n\r\n" + VERSION + b"\r\n"),
        _case("Close and more", VERSION + b"Connection: x, Close\r\n\r\n"),
        _case("HTTP/1.0", old % (b"/version", b"")),
        _case("HTTP/1.0 and more to come", old % (b"/version", b"Connection: Keep-Alive\r\n")),
        _case("a watch in HTTP/1.0", old % (watch, b"Connection: keep-alive\r\n")),
        _case("HTTP/2 in clear", VERSION + b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\n\r\n"),
        _case("SPDY for nothing", VERSION + b"Connection: Upgrade\r\nUpgrade: SPDY/3.1\r\n\r\n"),
        _case("a WebSocket for what ends", VERSION + WEBSOCKET + KEY + b"Sec-WebSocket-Version: 13\r\n\r\n"),
        _case("a WebSocket for a list",
              b"GET " + MAPS + HOST + WEBSOCKET + KEY + b"Sec-WebSocket-Version: 13\r\n\r\n"),
        _case("a WebSocket without a key",
              b"GET " + MAPS + b"?watch=1" + HOST + WEBSOCKET + b"Sec-WebSocket-Version: 13\r\n\r\n"),
        _case("a WebSocket of another version",
              b"GET " + MAPS + b"?watch=1" + HOST + WEBSOCKET + KEY + b"Sec-WebSocket-Version: 9\r\n\r\n"),
    ]  # fmt: skip


def _bodies() -> list[Case]:
    def sent(method: bytes, path: bytes, body: bytes, more: bytes = b"Content-Type: application/json\r\n") -> bytes:
        return method + b" " + path + HOST + more + b"Content-Length: %d\r\n\r\n" % len(body) + body

    limit, post = 3 * MIB, MAPS + b"?dryRun=All"
    templates = b"/api/v1/namespaces/default/podtemplates"
    packed = b"Content-Type: application/json\r\nContent-Encoding: %b\r\n"
    return [
        _case("a body of 3 MiB", sent(b"POST", post, MAP.ljust(limit))),
        _case("a body of more than 3 MiB", sent(b"POST", post, MAP.ljust(limit + 1))),
        _case("a body of much more", sent(b"POST", post, MAP.ljust(limit + MIB))),
        _case("chunks of more than 3 MiB",
              POST + b"Transfer-Encoding: chunked\r\n\r\n" + _in_chunks(MAP.ljust(limit + 1))),
        _case("a patch of more than 3 MiB",
              sent(b"PATCH", b"/api/v1/namespaces/default", b" " * (limit + 1), b"Content-Type: application/merge-patch+json\r\n")),
        _case("options of more than 3 MiB", sent(b"DELETE", b"/api/v1/namespaces/none", b" " * (limit + 1))),
        _case("an object of more than 1.5 MiB", sent(b"POST", templates, _template(1_600_000))),
        _case("an object of more than 2 MiB", sent(b"POST", templates, _template(2_200_000))),
        _case("a map of more than 1 MiB", sent(b"POST", post, MAP[:-1] + b',"data":{"a":"' + b"x" * MIB + b'"}}')),
        _case("gzip inside", sent(b"POST", post, gzip.compress(MAP, mtime=0), packed % b"gzip")),
        _case("deflate inside", sent(b"POST", post, b"abc", packed % b"deflate")),
        _case("a large body that nobody reads", sent(b"GET", b"/version", bytes(MIB))),
        _case("a small body that nobody reads", sent(b"GET", b"/version", bytes(1000))),
        _case("a large body to nobody", sent(b"POST", b"/nothing", bytes(MIB))),
    ]  # fmt: skip


def _template(size: int) -> bytes:
    spec = b'{"containers":[{"name":"a","image":"b","args":["' + b"x" * size + b'"]}]}'
    return b'{"apiVersion":"v1","kind":"PodTemplate","metadata":{"name":"wire"},"template":{"spec":' + spec + b"}}"


def comparable(heard: list[str]) -> list[str]:
    """Bytes that were sent packed are shown to the client; which ones depends on the packer."""
    return [re.sub(r"(looking for beginning of value).*", r"\1", line) for line in heard]
