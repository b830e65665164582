"""The head of a request, read as Go's server reads it: what it takes, what it refuses, and in which words.

    parse(b"GET /version?a HTTP/1.1\\r\\nHost: x\\r\\n\\r\\n") -> Head("GET", "/version", b"/version", b"a", "1.1", …)

Pure, and strict where two readers of the same bytes could see two different requests: two lengths, a transfer coding
that is not `chunked`, a name with a blank in it. Upstream: Go's `net/http/{request,server,transfer}.go`,
`net/textproto/reader.go` and `net/url/url.go`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import unquote_to_bytes

Headers = list[tuple[bytes, bytes]]
END = re.compile(rb"\n\r?\n")
"""Where a head ends. Go takes a line feed alone for the end of a line."""

_ODD = re.compile(rb"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]|\r(?!\n)|(?<!\r)\n|\n[ \t]")
_CONTROL = re.compile(rb"[\x00-\x08\x0a-\x1f\x7f]")
_TOKEN = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_BLANK_NAME = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z ]+")
_HOST = re.compile(rb"[A-Za-z0-9!$%&()*+,\-.:;=\[\]'_~]*")
_VERSION = re.compile(rb"HTTP/(\d)\.(\d)")
_DIGITS = re.compile(rb"[0-9]+")
_BAD_ESCAPE = re.compile(rb"%(?![0-9A-Fa-f]{2})")
_SCHEME = re.compile(rb"([A-Za-z][A-Za-z0-9+.\-]*):(.*)", re.DOTALL)
_AUTHORITY = re.compile(
    rb"(?:[A-Za-z0-9\-._:~!$&'()*+,;=%@]*@)?(\[[0-9A-Fa-f:.]*:[0-9A-Fa-f:.]*(?:%25[^\]]+)?\](?::\d*)?"
    rb"|(?:[A-Za-z0-9!$&'()*+,\-.;=_~<>\"\x80-\xff]|%[89A-Fa-f][0-9A-Fa-f])*(?::\d*)?)"
)
_NAMES: dict[bytes, bytes] = {}
"""Names as they were written → in lower case; a few dozen make up all that clients send."""
_MOST_NAMES = 512


PLAIN = "Content-Type: text/plain; charset=utf-8\r\nConnection: close\r\n"


class Refused(Exception):
    """No request. `answer` is what the client is told, all of it: after that nothing can be understood any more."""

    def __init__(
        self, status: str = "400 Bad Request", why: str = "", text: str | None = None, headers: str = PLAIN
    ) -> None:
        super().__init__(why or status)
        said = f"{status}: {why}" if why else status
        self.answer = f"HTTP/1.1 {said}\r\n{headers}\r\n{said if text is None else text}".encode()


@dataclass(frozen=True, slots=True)
class Head:
    method: str
    path: str
    raw_path: bytes
    query: bytes
    version: str
    headers: Headers
    """Names in lower case."""
    length: int | None
    """Bytes of the body; None if it comes in chunks, which tell their own."""
    keep_alive: bool
    expects: bool
    """The client sends its body once it is told to."""

    @property
    def old(self) -> bool:
        """HTTP/1.0, which knows no chunks."""
        return self.version == "1.0"


def parse(raw: bytes) -> Head:
    """`raw` ends with an empty line. Raises Refused."""
    if _ODD.search(raw):
        lines = _unfolded(raw)
    else:
        lines = raw.split(b"\r\n")
        del lines[-2:]
    method, target, major, minor = request_line(lines[0])
    path, raw_path, query, authority = _target(method, target)
    headers = _headers(lines)
    hosts = [value for name, value in headers if name == b"host"]
    if len(hosts) > 1:
        raise Refused
    length = _length(headers, major > 1 or minor > 0)
    preface = (method, path, major, minor) == ("PRI", "*", 2, 0)  # of HTTP/2, which is not spoken here
    if major != 1 and not preface:
        raise Refused("505 HTTP Version Not Supported", "unsupported protocol version")
    if (major > 1 or minor) and not hosts and method != "CONNECT" and not (preface and not headers):
        raise Refused(why="missing required Host header")
    if hosts and _HOST.fullmatch(hosts[0]) is None:
        raise Refused(why="malformed Host header")
    if any(b" " in name for name, _ in headers):
        raise Refused(why="invalid header name")
    if authority:
        headers = [(name, authority if name == b"host" else value) for name, value in headers]
    said = [value.lower() for name, value in headers if name == b"connection"]
    tokens = [token.strip() for value in said for token in value.split(b",")] if said else []
    return Head(
        method=method,
        path=path,
        raw_path=raw_path,
        query=query,
        version=f"{major}.{minor}",
        headers=headers,
        length=length,
        keep_alive=not preface and b"close" not in tokens and (minor > 0 or b"keep-alive" in tokens),
        expects=minor > 0 and length != 0 and _expects(headers),
    )


def request_line(line: bytes) -> tuple[str, bytes, int, int]:
    """Method, target and version of a line without its end. Raises Refused."""
    method, blank, rest = line.partition(b" ")
    target, another, version = rest.partition(b" ")
    if not blank or not another or b"\t" in target or _TOKEN.fullmatch(method) is None:
        raise Refused
    if version == b"HTTP/1.1":
        return method.decode(), target, 1, 1
    found = _VERSION.fullmatch(version)
    if found is None:
        raise Refused
    return method.decode(), target, int(found[1]), int(found[2])


def _unfolded(raw: bytes) -> list[bytes]:
    """The lines, each in one piece: one that begins with a blank goes on with the one before it. Raises Refused."""
    lines: list[bytes] = []
    for line in raw.split(b"\n"):
        line = line.removesuffix(b"\r")
        if not line and lines:
            break
        if line[:1] not in (b" ", b"\t"):
            lines.append(line)
        elif len(lines) < 2:
            raise Refused
        else:
            lines[-1] = lines[-1].strip(b" \t") + b" " + line.strip(b" \t")
    if any(_CONTROL.search(line) for line in lines):
        raise Refused
    return lines


def _headers(lines: list[bytes]) -> Headers:
    headers = []
    for line in lines[1:]:
        name, colon, value = line.partition(b":")
        known = _NAMES.get(name)
        if known is None:
            if not colon or _BLANK_NAME.fullmatch(name) is None:
                raise Refused
            known = name.lower()
            if len(_NAMES) < _MOST_NAMES:
                _NAMES[name] = known
        elif not colon:
            raise Refused
        headers.append((known, value.strip(b" \t")))
    return headers


def _target(method: str, target: bytes) -> tuple[str, bytes, bytes, bytes]:
    """The path, as it was written too, the query, and the authority if it names one. Raises Refused."""
    if method == "CONNECT" and not target.startswith(b"/"):
        target = b"http://" + target
    authority = b""
    if not target.startswith(b"/"):
        if target == b"*":
            return "*", b"*", b"", b""
        found = _SCHEME.fullmatch(target)
        if found is None:
            raise Refused
        target = found[2]
        if not target.startswith(b"/"):  # `mailto:somebody` has no path at all
            return "", b"", target.partition(b"?")[2], b""
        if target.startswith(b"//"):
            authority, slash, rest = target[2:].partition(b"/")
            if not slash:
                authority, mark, rest = authority.partition(b"?")
                slash = mark
            target = slash + rest
            whole = _AUTHORITY.fullmatch(authority)
            if whole is None:
                raise Refused
            authority = whole[1]
    raw_path, _, query = target.partition(b"?")
    if b"%" not in raw_path:
        return raw_path.decode("utf-8", "replace"), raw_path, query, authority
    if _BAD_ESCAPE.search(raw_path):
        raise Refused
    return unquote_to_bytes(raw_path).decode("utf-8", "replace"), raw_path, query, authority


def _length(headers: Headers, chunks: bool) -> int | None:
    """How long the body is. What contradicts the answer is taken out of `headers`. Raises Refused."""
    codings, lengths = [], []
    for name, value in headers:
        if name == b"transfer-encoding":
            codings.append(value)
        elif name == b"content-length":
            lengths.append(value)
    chunked = False
    if codings:
        headers[:] = [header for header in headers if header[0] != b"transfer-encoding"]
        chunked = chunks
        if chunked and (len(codings) > 1 or codings[0].lower() != b"chunked"):
            raise Refused("501 Not Implemented", text="Unsupported transfer encoding")
    if lengths:
        if len(set(lengths)) > 1 or _DIGITS.fullmatch(lengths[0]) is None or int(lengths[0][-40:]) >= 1 << 63:
            raise Refused
        if chunked or len(lengths) > 1:
            headers[:] = [header for header in headers if header[0] != b"content-length"]
            if not chunked:
                headers.append((b"content-length", lengths[0]))
    if chunked:
        _check_trailers(headers)
        return None
    return int(lengths[0]) if lengths else 0


def _check_trailers(headers: Headers) -> None:
    told = [each.strip().lower() for name, value in headers if name == b"trailer" for each in value.split(b",")]
    if any(each in (b"transfer-encoding", b"trailer", b"content-length") for each in told):
        raise Refused


def _expects(headers: Headers) -> bool:
    """Raises Refused 417 where a client expects what nobody knows."""
    for name, value in headers:
        if name == b"expect" and value:
            if re.search(rb"(?i)(?:^|[ ,\t])100-continue(?:$|[ ,\t])", value):
                return True
            raise Refused("417 Expectation Failed", text="", headers="Connection: close\r\nContent-Length: 0\r\n")
    return False
