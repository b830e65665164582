"""What a kubelet or a pod answers, passed on: log, exec, attach, portforward, and proxy to nodes, pods and Services.

The API server looks up where the pod runs and speaks to that kubelet with its own client certificate; a stream is
passed on as it comes, a WebSocket message by message, with the very subprotocol that the client asked for.

Upstream: pkg/registry/core/pod/rest/{log,subresources}.go, pkg/kubelet/client, apimachinery/pkg/util/proxy.
"""

from __future__ import annotations

import asyncio
import json
import os
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import quote, urlencode

from workshop.api import errors
from workshop.api.meta import Obj
from workshop.api.resources import Resource, resource
from workshop.apiserver.interfaces import AdmissionRequest
from workshop.apiserver.registry.reader import Reader
from workshop.apiserver.registry.writer import Writer
from workshop.apiserver.server.http import Request, Response, Served
from workshop.serving import Send

from . import locations
from .connect_options import connect_options
from .log_options import log_options
from .rewriting import rewrite_html, rewrite_url

if TYPE_CHECKING:
    import aiohttp  # a fifth of the start: imported by the first who speaks to a kubelet

NODES, PODS, ENDPOINTS, SERVICES = (resource(name) for name in ("nodes", "pods", "endpoints", "services"))
STREAMS = {"exec": "exec", "attach": "attach", "portforward": "portForward"}
V5, ERROR_CHANNEL = "v5.channel.k8s.io", b"\3"
_DROPPED = frozenset({
    "connection", "upgrade", "host", "authorization", "content-length", "transfer-encoding", "keep-alive",
    "sec-websocket-key", "sec-websocket-version", "sec-websocket-protocol", "sec-websocket-extensions",
})  # fmt: skip


@dataclass(frozen=True)
class KubeletAccess:
    """The certificates by which kubelets know the API server, and it them. PEM files; "" for none."""

    client_certificate: str = ""
    client_key: str = ""
    authority: str = ""

    def context(self) -> ssl.SSLContext:
        context = ssl.create_default_context(cafile=self.authority or None)
        context.check_hostname = bool(self.authority)
        if not self.authority:
            context.verify_mode = ssl.CERT_NONE
        if self.client_certificate:
            context.load_cert_chain(self.client_certificate, self.client_key)
        return context


May = Callable[[Request, str], Awaitable[None]]
"""Raises ApiError 403 where the client may not do this verb too."""


class NodeProxy:
    def __init__(self, reader: Reader, writer: Writer, access: KubeletAccess, may: May) -> None:
        self._reader, self._writer, self._access, self._may = reader, writer, access, may
        self._session: aiohttp.ClientSession | None = None
        self._tls: ssl.SSLContext | None = None

    def _client(self) -> aiohttp.ClientSession:
        if self._session is None:
            import aiohttp

            self._session = aiohttp.ClientSession(auto_decompress=False, timeout=aiohttp.ClientTimeout(total=None))
        return self._session

    def _kubelet_tls(self) -> ssl.SSLContext:
        if self._tls is None:
            self._tls = self._access.context()
        return self._tls

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()

    async def handle(self, request: Request, res: Resource) -> Response:
        """pods/{log,exec,attach,portforward,proxy}, nodes/proxy, services/proxy."""
        sub, info = request.info.subresource, request.info
        known = res.subresource(sub)
        if known is None or info.verb not in known.verbs:
            raise errors.not_allowed()
        if sub == "log":
            return await self._log(request)
        if request.query.get("dryRun"):
            raise errors.bad_request("dryRun is not supported")
        options = connect_options(request, res)
        await self._writer.admit(
            AdmissionRequest("CONNECT", res, sub, info.namespace, info.name, options, None, request.user)
        )
        if sub == "proxy":
            return await self._proxy(request, res)
        if info.verb != "create":  # a WebSocket begins with a GET, and is no less than the POST of old
            await self._may(request, "create")
        pod = (await self._reader.get(PODS, info.namespace, info.name)).obj
        path = f"/{STREAMS[sub]}/{info.namespace}/{info.name}"
        query = {key: values for key, values in request.query.items() if key not in ("container", "command", *_RENAMED)}
        if sub != "portforward":
            path += f"/{quote(locations.container(pod, request.option('container')))}"
            query = {
                **{_RENAMED[k]: ["1"] for k in _RENAMED if request.flag(k)},
                "command": request.query.get("command", []),
            }
        base = await self._kubelet(pod)
        if not request.is_websocket:
            raise errors.bad_request("Upgrade request required: this server speaks WebSocket, not SPDY")
        target = f"{base}{path}?{urlencode(query, doseq=True)}"
        if sub != "portforward" and V5 in request.scope.get("subprotocols", []):
            return await self._translated(request, target)
        return await self._websocket(request, target, self._kubelet_tls())

    async def _log(self, request: Request) -> Response:
        query = log_options(request, request.info.name)
        pod = (await self._reader.get(PODS, request.info.namespace, request.info.name)).obj
        container = locations.container(pod, request.option("container"))
        if not pod["spec"].get("nodeName"):
            return Response(204, b"", "text/plain")
        metadata = pod["metadata"]
        base = await self._kubelet(pod)
        target = (
            f"{base}/containerLogs/{metadata['namespace']}/{metadata['name']}/{quote(container)}?{urlencode(query)}"
        )
        answer = await self._send("GET", target, self._kubelet_tls())
        if answer.status != 200:
            text = (await answer.text()).strip()
            if answer.status == 404:
                raise errors.failure(
                    404, "NotFound", f"the server could not find the requested resource ( pods/log {metadata['name']})"
                )
            raise errors.bad_request(text) if answer.status in (400, 500) else errors.failure(answer.status, "", text)
        return Response(200, content_type="text/plain", stream=_chunks(answer))

    async def _kubelet(self, pod: Obj) -> str:
        node = pod["spec"].get("nodeName")
        if not node:
            raise errors.bad_request(f"pod {pod['metadata']['name']} does not have a host assigned")
        try:
            return await self._node_address(node)
        except errors.ApiError as error:
            if errors.is_not_found(error):  # upstream's words: the request's resource with the node's name
                raise errors.not_found(PODS, node) from None
            raise

    async def _node_address(self, node: str) -> str:
        found = (await self._reader.get(NODES, "", node, "0")).obj
        status = found.get("status", {})
        port = ((status.get("daemonEndpoints") or {}).get("kubeletEndpoint") or {}).get("Port") or 10250
        for kind in ("InternalIP", "Hostname", "ExternalIP"):
            for address in status.get("addresses", ()):
                if address["type"] == kind:
                    return f"https://{address['address']}:{port}"
        raise errors.internal(f"no preferred addresses found; known addresses: {status.get('addresses', [])}")

    # --- proxy

    async def _proxy(self, request: Request, res: Resource) -> Response:
        info = request.info
        scheme, name, port = locations.split(info.name, res.singular)
        if res.plural == "nodes":
            base = await self._node_address(name)
            tls: ssl.SSLContext | None = self._kubelet_tls()
        elif res.plural == "pods":
            pod = (await self._reader.get(PODS, info.namespace, name)).obj
            address = pod.get("status", {}).get("podIP")
            if not address:
                raise errors.bad_request("address not allowed")
            ports = [p["containerPort"] for c in pod["spec"]["containers"] for p in c.get("ports", ())]
            base, tls = f"{scheme or 'http'}://{address}:{port or (ports[0] if ports else 80)}", None
        else:
            base, tls = await self._service(info.namespace, scheme, name, port), None
        if not info.rest and request.method in ("GET", "HEAD") and request.path[-1] != "/" and not request.is_websocket:
            # so that relative links in the page lead to where they should
            query = request.scope["query_string"].decode("latin-1")
            location = f"{quote(request.path)}/{'?' + query if query else ''}"
            return Response(301, b"", "text/plain", headers=[("Location", location)])
        path = quote("/" + info.rest) + ("/" if request.path.endswith("/") and info.rest else "")
        query = request.scope["query_string"].decode("latin-1")
        target = f"{base}{path}{'?' + query if query else ''}"
        if request.is_websocket:
            return await self._websocket(request, target, tls)
        headers = {k: v for k, v in request.headers if k not in _DROPPED}
        answer = await self._send(request.method, target, tls, headers, await request.body())
        return await _passed_on(request, base, answer)

    async def _service(self, namespace: str, scheme: str, name: str, port: str) -> str:
        """One of the pods behind a Service, at random in upstream, the first here."""
        if port:
            service = (await self._reader.get(SERVICES, namespace, name)).obj
            port = locations.service_port(service, port)
        try:
            endpoints = (await self._reader.get(ENDPOINTS, namespace, name)).obj
        except errors.ApiError as error:
            if errors.is_not_found(error):  # upstream's words: the request's resource
                raise errors.not_found(SERVICES, name) from None
            raise
        for address, number in locations.endpoints_of(endpoints, port):
            if await self._is_pods(namespace, address):
                return f"{scheme or 'http'}://{address['ip']}:{number}"
        raise errors.service_unavailable(f"no endpoints available for service {errors.quote(name)}")

    async def _is_pods(self, namespace: str, address: Obj) -> bool:
        """Whether the address is that of the pod that it names: others are not passed on to."""
        target = address.get("targetRef") or {}
        if target.get("namespace") != namespace:
            return False
        try:
            pod = (await self._reader.get(PODS, namespace, target.get("name", ""), "0")).obj
        except errors.ApiError as error:
            if errors.is_not_found(error):
                return False
            raise
        return any(each.get("ip") == address["ip"] for each in pod.get("status", {}).get("podIPs") or ())

    async def _send(
        self,
        method: str,
        target: str,
        tls: ssl.SSLContext | None,
        headers: dict[str, str] | None = None,
        body: bytes = b"",
    ) -> aiohttp.ClientResponse:
        import aiohttp
        from yarl import URL

        try:
            return await self._client().request(
                method, URL(target, encoded=True), headers=headers, data=body or None, ssl=tls if tls else False,
                allow_redirects=False,
            )  # fmt: skip
        except (aiohttp.ClientError, OSError) as error:
            raise _unreachable(method, target, error) from None

    async def _websocket(self, request: Request, target: str, tls: ssl.SSLContext | None) -> Response:
        far = await self._dial(target, tls, request.scope.get("subprotocols", []))
        await request.send({"type": "websocket.accept", "subprotocol": far.protocol})
        return await _carry(request, far)

    async def _translated(self, request: Request, target: str) -> Response:
        """exec and attach in v5, in the order of upstream's stream translator: the client has its streams before the
        kubelet is asked, so none of the output can be there earlier, and what the kubelet refuses is told on channel 3.
        """
        await request.send({"type": "websocket.accept", "subprotocol": V5})
        first = b"\1" if request.flag("stdout") else b"\2" if request.flag("stderr") else ERROR_CHANNEL
        await request.send({"type": "websocket.send", "bytes": first})
        try:
            far = await self._dial(target, self._kubelet_tls(), [V5])
        except errors.ApiError as refusal:
            await request.send({"type": "websocket.send", "bytes": ERROR_CHANNEL + json.dumps(refusal.status).encode()})
            await request.send({"type": "websocket.close", "code": 1000})
            return Served()
        return await _carry(request, far)

    async def _dial(
        self, target: str, tls: ssl.SSLContext | None, protocols: list[str]
    ) -> aiohttp.ClientWebSocketResponse:
        import aiohttp
        from yarl import URL

        try:
            return await self._client().ws_connect(
                URL(target, encoded=True), protocols=protocols, ssl=tls if tls else False, max_msg_size=0, autoping=True
            )
        except aiohttp.WSServerHandshakeError as error:
            raise await self._refused(target, tls, error) from None
        except (aiohttp.ClientError, OSError) as error:
            raise _unreachable("GET", target, error) from None

    async def _refused(
        self, target: str, tls: ssl.SSLContext | None, error: aiohttp.WSServerHandshakeError
    ) -> errors.ApiError:
        """The kubelet's own words: aiohttp has thrown the body away, so it is asked once more without an upgrade."""
        plain = await self._send("GET", target, tls)
        text = (await plain.text()).strip() or error.message
        plain.close()
        return errors.internal(f"unable to upgrade connection: {text}")


_RENAMED = {"stdin": "input", "stdout": "output", "stderr": "error", "tty": "tty"}


async def _carry(request: Request, far: aiohttp.ClientWebSocketResponse) -> Response:
    """Messages both ways, until the client goes, or until all that the kubelet said has been passed on."""
    async with far:
        up, down = asyncio.create_task(_up(request, far)), asyncio.create_task(_down(far, request.send))
        try:
            await asyncio.wait([up, down], return_when=asyncio.FIRST_COMPLETED)
            if up.done() and isinstance(up.exception(), ConnectionError):
                # the kubelet has closed and takes no more, but its last words may still be on their way
                await asyncio.wait([down])
        finally:
            for task in (up, down):
                task.cancel()
            await asyncio.gather(up, down, return_exceptions=True)
    return Served()


async def _up(request: Request, far: aiohttp.ClientWebSocketResponse) -> None:
    """From the client to the kubelet; returns when the client has gone, raises ConnectionError when the kubelet has."""
    while True:
        message = await request.receive()
        if message["type"] == "websocket.disconnect":
            return
        if message.get("bytes") is not None:
            await far.send_bytes(message["bytes"])
        elif message.get("text") is not None:
            await far.send_str(message["text"])


async def _down(far: aiohttp.ClientWebSocketResponse, send: Send) -> None:
    """From the kubelet to the client."""
    async for message in far:
        if message.type.name == "BINARY":
            await send({"type": "websocket.send", "bytes": message.data})
        elif message.type.name == "TEXT":
            await send({"type": "websocket.send", "text": message.data})
    await send({"type": "websocket.close", "code": 1000})


async def _passed_on(request: Request, base: str, answer: aiohttp.ClientResponse) -> Response:
    """An answer with its links rewritten, so that they lead through here again."""
    prepend = request.path.rstrip("/").removesuffix(f"/{request.info.rest}" if request.info.rest else "")
    hosts = (base.partition("//")[2], request.header("host"))
    headers = [(k, v) for k, v in answer.headers.items() if k.lower() not in (*_DROPPED, "content-type")]
    headers = [(k, rewrite_url(v, prepend, hosts) if k.lower() == "location" else v) for k, v in headers]
    kind = answer.headers.get("Content-Type", "text/plain")
    if kind.partition(";")[0].strip() == "text/html" and "Content-Encoding" not in answer.headers:
        page = (await answer.read()).decode("utf-8", "surrogateescape")
        body = rewrite_html(page, prepend, hosts).encode("utf-8", "surrogateescape")
        return Response(answer.status, body, kind, headers=headers)
    return Response(answer.status, content_type=kind, headers=headers, stream=_chunks(answer))


async def _chunks(answer: aiohttp.ClientResponse) -> AsyncIterator[bytes]:
    try:
        while data := await answer.content.readany():
            yield data
    finally:
        answer.close()


def _unreachable(method: str, target: str, error: Exception) -> errors.ApiError:
    """500 in the words of Go's url.Error, as kubectl shows them."""
    refused = getattr(error, "os_error", None)  # aiohttp's ClientConnectorError: who could not be connected to, and why
    if refused is not None and refused.errno:
        where = f"{getattr(error, 'host', '')}:{getattr(error, 'port', '')}"
        return errors.internal(
            f'{method.capitalize()} "{target}": dial tcp {where}: connect: {os.strerror(refused.errno).lower()}'
        )
    return errors.internal(f'{method.capitalize()} "{target}": {error}')
