"""agnhost's smaller servers: liveness, test-webserver, porter, nettest, grpc-health-checking.

(test/images/agnhost/…, Kubernetes 1.36.2)
"""
# mypy: ignore-errors

import http.client
import json
import mimetypes
import os
import socketserver
import ssl
import sys
import threading
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import urllib.parse
import urllib.request

from serving import ADDRESS, HOST, STARTED, Handler, flags, listen


def liveness(given):
    """Well for ten seconds, ill ever after."""

    class Liveness(Handler):
        def do_GET(self):
            path, age = urllib.parse.urlsplit(self.path), time.time() - STARTED
            if path.path == "/started":
                self.answer(f"{age}s")
            elif path.path == "/healthz":
                self.answer("ok") if age <= 10 else self.answer(f"error: {age}", 500)
            elif path.path == "/redirect":
                self.answer("", 302, Location=urllib.parse.parse_qs(path.query).get("loc", ["/"])[0])
            else:
                self.answer("404 page not found\n", 404)

    listen(int(given.get("port", 8080)), Liveness).serve_forever(poll_interval=3600)


def test_webserver(given):
    """Any file there is; in mode plain those of the image."""
    root = os.environ.get("WORKSHOP_IMAGE", "/")

    class Files(Handler):
        def do_GET(self):
            path = urllib.parse.unquote(urllib.parse.urlsplit(self.path).path)
            full = os.path.join(root, os.path.normpath(path).lstrip("/"))
            headers = {"Cache_Control": "private", "Access_Control_Allow_Origin": "*"}
            try:
                if os.path.isdir(full):
                    names = [name + "/" * os.path.isdir(os.path.join(full, name)) for name in sorted(os.listdir(full))]
                    links = "".join(f'<a href="{urllib.parse.quote(name)}">{name}</a>\n' for name in names)
                    return self.answer(f"<pre>\n{links}</pre>\n", kind="text/html; charset=utf-8", **headers)
                with open(full, "rb") as file:
                    kind = mimetypes.guess_type(full)[0] or "text/plain; charset=utf-8"
                    return self.answer(file.read(), kind=kind, **headers)
            except PermissionError:
                return self.answer("403 Forbidden\n", 403)
            except OSError:
                return self.answer("404 page not found\n", 404)

        do_HEAD = do_GET

    listen(int(given.get("port", 80)), Files).serve_forever(poll_interval=3600)


#: How a body begins that Go takes for a page.
PAGES = tuple(
    f"<{tag}{end}" for tag in ("!doctype html", "html", "head", "body", "a", "p", "div", "h1") for end in " >"
)


def porter(given):
    """Says on each port what a variable SERVE_PORT_n, SERVE_TCP_PORT_n, SERVE_TLS_PORT_n or SERVE_UDP_PORT_n says."""

    def answering(value):
        class Says(Handler):
            def do_GET(self):
                self.body()
                if "json-response" in given:
                    text = json.dumps({"Method": self.command, "Body": value})
                    return self.answer(text, kind="application/json")
                page = value.lower().startswith(PAGES)
                return self.answer(value, kind=f"text/{'html' if page else 'plain'}; charset=utf-8")

            do_POST = do_PUT = do_DELETE = do_PATCH = do_OPTIONS = do_HEAD = do_GET

        return Says

    image = os.environ.get("WORKSHOP_IMAGE", "")
    certificate = [
        os.environ.get("CERT_FILE", f"{image}/localhost.crt"),
        os.environ.get("KEY_FILE", f"{image}/localhost.key"),
    ]
    for name, value in dict(os.environ).items():
        kind, _, port = name.rpartition("_")
        if kind in ("SERVE_PORT", "SERVE_TCP_PORT"):
            server = listen(int(port), answering(value))
        elif kind == "SERVE_TLS_PORT":
            try:
                server = listen(int(port), answering(value), *certificate)
            except (OSError, ssl.SSLError) as problem:
                print(f"tls server on port {port!r} with certFile={certificate[0]!r} failed: {problem}", flush=True)
                continue
        elif kind == "SERVE_UDP_PORT":
            server = socketserver.UDPServer((ADDRESS, int(port)), datagram(value))
        else:
            continue
        threading.Thread(target=server.serve_forever, args=(3600,), daemon=True).start()
    ready()
    threading.Event().wait()


def datagram(value):
    class Says(socketserver.BaseRequestHandler):
        def handle(self):
            self.request[1].sendto(value.encode(), self.client_address)

    return Says


class NetTest:
    """Tells each of its like that it is there, and counts who told it so."""

    def __init__(self, given):
        self.given = given
        self.peers = int(given.get("peers", 8))
        self.sent, self.received, self.log, self.errors = {}, {}, [], []
        self.still = True

    def read(self):
        return json.dumps(
            {
                "Hostname": HOST,
                "Sent": self.sent or None,
                "Received": self.received or None,
                "Errors": self.errors or None,
                "Log": self.log[-500:] or None,
                "StillContactingPeers": self.still,
            },
            indent="\t",
        )

    def status(self):
        if len(self.sent) >= self.peers and len(self.received) >= self.peers:
            return "pass"
        return "running" if self.still else "fail"

    def write(self, body):
        try:
            source = json.loads(body).get("Source", "")
        except (ValueError, AttributeError) as problem:
            source, problem = "", str(problem)
            self.errors.append(problem)
        if source:
            self.received[source] = self.received.get(source, 0) + 1
        else:
            self.errors.append(f"{HOST}: Got request with no source")
        return json.dumps({"Hostname": HOST}) + "\n"

    def endpoints(self):
        """Addresses of the service's pods, by the pod's own service account."""
        folder = os.environ.get("WORKSHOP_ROOTFS", "") + "/var/run/secrets/kubernetes.io/serviceaccount"
        server = f"https://{os.environ['KUBERNETES_SERVICE_HOST']}:{os.environ['KUBERNETES_SERVICE_PORT']}"
        namespace, service = self.given.get("namespace", "default"), self.given.get("service", "nettest")
        with open(f"{folder}/token") as token:
            request = urllib.request.Request(
                f"{server}/api/v1/namespaces/{namespace}/endpoints/{service}",
                headers={"Authorization": f"Bearer {token.read()}", "Accept": "application/json"},
            )
        context = ssl.create_default_context(cafile=f"{folder}/ca.crt")
        with urllib.request.urlopen(request, timeout=10, context=context) as answer:
            found = json.load(answer)
        for subset in found.get("subsets") or []:
            for address in subset.get("addresses") or []:
                for port in subset.get("ports") or []:
                    yield address["ip"], port["port"]

    def contact(self):
        """Fifteen rounds, five seconds apart, for newcomers are seen late."""
        for _ in range(15):
            try:
                for ip, port in self.endpoints():
                    self.log.append(f"Attempting to contact http://{ip}:{port}")
                    peer = http.client.HTTPConnection(ip, port, timeout=10)
                    text = json.dumps({"Source": HOST, "Dest": f"http://{ip}:{port}"})
                    peer.request("POST", "/write", text, {"Content-Type": "application/json"})
                    name = json.load(peer.getresponse())["Hostname"]
                    self.sent[name] = self.sent.get(name, 0) + 1
            except (OSError, ValueError, KeyError, http.client.HTTPException) as problem:
                self.log.append(f"Warning: {problem}")
            time.sleep(5)
        self.still = False


def nettest(given):
    state = NetTest(given)

    class Answers(Handler):
        def do_GET(self):
            path, body = urllib.parse.urlsplit(self.path).path, self.body()
            if path == "/quit":
                os._exit(0)
            if path == "/write":
                return self.answer(state.write(body))
            answer = {"/read": state.read, "/status": state.status}.get(path)
            return self.answer(answer()) if answer else self.answer("404 page not found\n", 404)

        do_POST = do_GET

    threading.Thread(target=state.contact, daemon=True).start()
    listen(int(given.get("port", 8080)), Answers).serve_forever(poll_interval=3600)


class Health(socketserver.BaseRequestHandler):
    """The one call grpc.health.v1.Health/Check, in as much HTTP/2 as it takes (RFC 9113, sections 4 and 6)."""

    service, ill_after, forced = "", -1, None

    def receive(self, size):
        data = b""
        while len(data) < size:
            more = self.request.recv(size - len(data))
            if not more:
                raise ConnectionError("closed")
            data += more
        return data

    def send(self, kind, flags, stream, payload=b""):
        self.request.sendall(
            len(payload).to_bytes(3, "big") + bytes((kind, flags)) + stream.to_bytes(4, "big") + payload
        )

    def handle(self):
        data, headers, settings, ping, goaway = 0, 1, 4, 6, 7
        bodies = {}
        try:
            self.receive(24)  # PRI * HTTP/2.0
            self.send(settings, 0, 0)
            while True:
                head = self.receive(9)
                kind, flag, stream = head[3], head[4], int.from_bytes(head[5:9], "big") & 0x7FFFFFFF
                payload = self.receive(int.from_bytes(head[:3], "big"))
                if kind in (settings, ping) and not flag & 1:
                    self.send(kind, 1, 0, payload if kind == ping else b"")
                elif kind == goaway:
                    return
                elif kind == headers:
                    bodies[stream] = b""
                elif kind == data and stream in bodies:
                    bodies[stream] += payload
                if kind in (data, headers) and flag & 1 and stream in bodies:
                    self.reply(stream, bodies.pop(stream))
        except OSError:
            return

    def reply(self, stream, body):
        """The request is a message with the service's name as field 1; SERVING is 1, NOT_SERVING 2."""
        name = body[7 : 7 + body[6]].decode() if len(body) > 6 else ""
        if name != self.service:
            return self.send(1, 5, stream, fields(b"\x88", status="5", message="unknown service"))
        ill = self.forced if self.forced is not None else 0 <= self.ill_after <= time.time() - STARTED
        self.send(1, 4, stream, fields(b"\x88"))
        self.send(0, 0, stream, b"\0\0\0\0\2\x08" + (b"\2" if ill else b"\1"))
        return self.send(1, 5, stream, fields(status="0"))


def fields(begin=b"", status=None, message=None):
    """Headers as literals of HPACK (RFC 7541, 6.2.2); `\\x88` is `:status: 200`."""
    pairs = [("content-type", "application/grpc")] if begin else []
    pairs += [("grpc-status", status)] if status else []
    pairs += [("grpc-message", message)] if message else []
    for name, value in pairs:
        begin += b"\0" + bytes((len(name),)) + name.encode() + bytes((len(value),)) + value.encode()
    return begin


def grpc_health_checking(given):
    Health.service, Health.ill_after = given.get("service", ""), float(given.get("delay-unhealthy-sec", -1))

    class Switch(Handler):
        def do_GET(self):
            if self.path not in ("/make-serving", "/make-not-serving"):
                return self.answer("404 page not found\n", 404)
            Health.forced = self.path == "/make-not-serving"
            return self.answer(f"{time.time() - STARTED}s")

    socketserver.ThreadingTCPServer.allow_reuse_address = True
    socketserver.ThreadingTCPServer.daemon_threads = True
    server = socketserver.ThreadingTCPServer((ADDRESS, int(given.get("port", 5000))), Health)
    switch = listen(int(given.get("http-port", 8080)), Switch)
    threading.Thread(target=switch.serve_forever, args=(3600,), daemon=True).start()
    print(f"gRPC server starting to listen on :{server.server_address[1]}", flush=True)
    server.serve_forever(poll_interval=3600)


COMMANDS = {
    "liveness": liveness,
    "test-webserver": test_webserver,
    "porter": porter,
    "nettest": nettest,
    "grpc-health-checking": grpc_health_checking,
}

if __name__ == "__main__":
    COMMANDS[sys.argv[1]](flags(sys.argv[2:])[0])
