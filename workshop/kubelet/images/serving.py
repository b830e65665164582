"""What agnhost's programs share: Go's flags, and servers on the pod's address."""
# mypy: ignore-errors

import http.server
import os
import signal
import socket
import ssl
import time

SHIFT = int(os.environ.get("WORKSHOP_PORT_SHIFT") or 0)
ADDRESS = os.environ.get("WORKSHOP_POD_IP", "") if os.environ.get("WORKSHOP_ROOTFS") else ""
HOST = os.environ.get("HOSTNAME") or socket.gethostname()
STARTED = time.time()
signal.signal(signal.SIGTERM, lambda *_: os._exit(2))  # as Go's runtime does for a program that asks for nothing else


def flags(words):
    """Go's flags: --name=value or --name value."""
    given, rest = {}, []
    while words:
        word = words.pop(0)
        if word.startswith("-"):
            name, equals, value = word.lstrip("-").partition("=")
            if not equals and words and (words[0][:1] != "-" or words[0][1:].isdigit()):
                value = words.pop(0)
            given[name] = value or "true"
        else:
            rest.append(word)
    return given, rest


class Server(http.server.ThreadingHTTPServer):
    daemon_threads = True
    context = None

    def server_bind(self):
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.socket.bind(self.server_address)
        self.server_name, self.server_port = self.server_address

    def finish_request(self, request, client_address):
        """In the connection's own thread: a client that is slow to shake hands holds nobody else up."""
        if self.context:
            try:
                request = self.context.wrap_socket(request, server_side=True)
            except OSError as problem:
                print(f"http: TLS handshake error from {client_address[0]}:{client_address[1]}: {problem}", flush=True)
                return
        super().finish_request(request, client_address)

    def handle_error(self, request, client_address):
        print(f"{client_address[0]}:{client_address[1]} went away", flush=True)


def listen(port, handler, cert="", key=""):
    """A server for `handler`; HTTPS with a certificate."""
    try:
        server = Server((ADDRESS, port), handler)
    except PermissionError:
        server = Server((ADDRESS, port + SHIFT), handler)
    if cert:
        server.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        server.context.load_cert_chain(cert, key)
    ready()
    return server


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def body(self):
        return self.rfile.read(int(self.headers.get("Content-Length") or 0))

    def answer(self, text, status=200, kind="text/plain; charset=utf-8", **headers):
        body = text if isinstance(text, bytes) else text.encode()
        self.send_response(status)
        self.send_header("Content-Type", kind)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, format, *arguments):
        print(time.strftime("%Y/%m/%d %H:%M:%S", time.gmtime()), format % arguments, flush=True)
