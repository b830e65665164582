"""Asking a container by network: HTTP, TCP and gRPC, as probes and lifecycle hooks do.

Upstream: `pkg/probe/{http,tcp,grpc}`.
"""

from __future__ import annotations

import asyncio
import ssl
import struct
from collections.abc import Mapping
from typing import Any
from urllib.parse import urljoin, urlsplit

from workshop.http2.client import DEADLINE_EXCEEDED, UNIMPLEMENTED, Channel, RpcError
from workshop.kubelet.backoff import go_duration
from workshop.kubelet.pods import Obj
from workshop.kubelet.probes import Result

HEALTH = ("UNKNOWN", "SERVING", "NOT_SERVING", "SERVICE_UNKNOWN")
SERVING = 1
MOVED = (301, 302, 303, 307, 308)
REDIRECTS, BODY = 10, 10 * 1024
NO_TLS = "http: server gave HTTP response to HTTPS client"


def port_number(container: Obj, port: int | str) -> int:
    """A number, or the named port of the container. Raises ValueError."""
    named = [entry["containerPort"] for entry in container.get("ports") or () if entry.get("name") == port]
    if not named and not str(port).isdigit():
        raise ValueError(f'strconv.Atoi: parsing "{port}": invalid syntax')
    number = int(named[0] if named else port)
    if not 0 < number < 65536:
        raise ValueError(f"invalid port number: {number}")
    return number


def _headers(action: Mapping[str, Any], host: str, port: int, agent: str) -> str:
    given = [(entry["name"], entry.get("value") or "") for entry in action.get("httpHeaders") or ()]
    named = {name.lower(): value for name, value in given}
    lines = [("Host", named.get("host") or f"{host}:{port}")]
    lines += [pair for pair in (("User-Agent", agent), ("Accept", "*/*")) if pair[0].lower() not in named]
    lines += [(name, value) for name, value in given if name.lower() != "host" and (value or name.lower() != "accept")]
    return "".join(f"{name}: {value}\r\n" for name, value in [*lines, ("Connection", "close")])


def _connection_refused(url: str, where: str, problem: OSError) -> str:
    if isinstance(problem, ssl.SSLError):
        said = NO_TLS if problem.reason in ("WRONG_VERSION_NUMBER", "HTTP_REQUEST") else str(problem)
        return f'Get "{url}": {said}'
    text = "connection refused" if isinstance(problem, ConnectionRefusedError) else problem.strerror or str(problem)
    if not text:
        return f'Get "{url}": EOF'
    return f'Get "{url}": dial tcp {where}: connect: {text.lower()}'


async def _get(url: str, headers: str) -> tuple[int, str, bytes]:
    """One GET: (status, Location, the beginning of the body). Status 0: no HTTP came back."""
    parts = urlsplit(url)
    context = None
    if parts.scheme == "https":
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    port = parts.port or (443 if parts.scheme == "https" else 80)
    reader, writer = await asyncio.open_connection(parts.hostname, port, ssl=context)
    try:
        target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        writer.write(f"GET {target} HTTP/1.1\r\n{headers}\r\n".encode("latin-1", "replace"))
        words = (await reader.readline()).split()
        code = int(words[1]) if len(words) > 1 and words[1].isdigit() else 0
        location = ""
        while code and (line := await reader.readline()).strip():
            name, _, value = line.decode("latin-1").partition(":")
            location = value.strip() if name.lower() == "location" else location
        body = await reader.read(BODY) if 300 <= code < 400 else b""
        return code, location, body
    finally:
        writer.close()


async def http(
    host: str, port: int, action: Mapping[str, Any], timeout: float, agent: str = "kube-probe/1.36"
) -> Result:
    """GET; 200 to 399 is success. Redirects are followed on the same host; one that leads elsewhere is a success with
    a warning."""
    scheme, path = (action.get("scheme") or "HTTP").lower(), str(action.get("path") or "/").lstrip("/")
    url = here = f"{scheme}://{host}:{port}/{path}"
    headers = _headers(action, host, port, agent)
    try:
        async with asyncio.timeout(timeout):
            for _ in range(REDIRECTS):
                code, location, body = await _get(here, headers)
                there = urljoin(here, location)
                if code not in MOVED or not location or urlsplit(there).hostname != host:
                    break
                here = there
            else:
                return Result(False, f'Get "{there}": stopped after {REDIRECTS} redirects')
    except TimeoutError:
        return Result(False, f'Get "{url}": context deadline exceeded (Client.Timeout exceeded while awaiting headers)')
    except (OSError, ValueError, asyncio.IncompleteReadError) as problem:
        said = problem if isinstance(problem, OSError) else OSError(0, str(problem))
        return Result(False, _connection_refused(here, urlsplit(here).netloc, said))
    if 300 <= code < 400:
        return Result(True, warning=f"Probe terminated redirects, Response body: {body.decode(errors='replace')}")
    if 200 <= code < 300:
        return Result(True)
    if code:
        return Result(False, f"HTTP probe failed with statuscode: {code}", code=code)
    return Result(False, f'Get "{url}": EOF')


async def tcp(host: str, port: int, timeout: float) -> Result:
    """Can it be connected to?"""
    try:
        async with asyncio.timeout(timeout):
            _, writer = await asyncio.open_connection(host, port)
    except TimeoutError:
        return Result(False, f"dial tcp {host}:{port}: i/o timeout")
    except OSError as problem:
        text = (
            "connection refused" if isinstance(problem, ConnectionRefusedError) else (problem.strerror or str(problem))
        )
        return Result(False, f"dial tcp {host}:{port}: connect: {text.lower()}")
    writer.close()
    return Result(True)


async def grpc(host: str, port: int, service: str, timeout: float) -> Result:
    """grpc.health.v1.Health/Check; the two messages are small enough to be written by hand."""
    name = service.encode()
    request = b"\x0a" + struct.pack("B", len(name)) + name if name else b""
    channel = Channel(host, port)
    try:
        answer = await channel.unary("/grpc.health.v1.Health/Check", request, timeout)
    except RpcError as problem:
        limit = go_duration(timeout)
        if problem.code == DEADLINE_EXCEEDED and not channel.connected:
            return Result(
                False, f'timeout: failed to connect service "{host}:{port}" within {limit}: context deadline exceeded'
            )
        if problem.code == DEADLINE_EXCEEDED:
            return Result(False, f"timeout: health rpc did not complete within {limit}")
        if problem.code == UNIMPLEMENTED:
            health = "the grpc health protocol (grpc.health.v1.Health)"
            return Result(False, f"error: this server does not implement {health}: {problem}")
        return Result(False, f"error: health rpc probe failed: {problem}")
    finally:
        await channel.close()
    status = answer[1] if answer[:1] == b"\x08" and len(answer) > 1 else 0
    if status == SERVING:
        return Result(True)
    said = HEALTH[status] if status < len(HEALTH) else str(status)
    return Result(False, f'service unhealthy (responded with "{said}")')
