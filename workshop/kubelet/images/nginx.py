"""nginx and httpd: a web server of static files, with an access log on standard output.

Serves the image's document root (or what a volume put there). `/` without an index, `/hostname`, `/healthz` and
`/info` answer with the pod's name and what was asked, so that one sees which pod answered.
"""
# mypy: ignore-errors

import http.server
import os
import signal
import socket
import sys
import time
import urllib.parse

HTTPD = "httpd" in os.path.basename(sys.argv[0])
NAME = "Apache/2.4" if HTTPD else "nginx/1.29"
ROOTFS = os.environ.get("WORKSHOP_ROOTFS", "")
DOCUMENTS = "/usr/local/apache2/htdocs" if HTTPD else "/usr/share/nginx/html"
IMAGE = os.environ.get("WORKSHOP_IMAGE", "")
SHIFT = int(os.environ.get("WORKSHOP_PORT_SHIFT") or 0)
KINDS = {
    ".html": "text/html",
    ".css": "text/css",
    ".js": "text/javascript",
    ".json": "application/json",
    ".txt": "text/plain",
    ".png": "image/png",
    ".svg": "image/svg+xml",
}
MONTHS = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"]


def roots():
    for base in ([ROOTFS + DOCUMENTS] if ROOTFS else []) + [DOCUMENTS if not ROOTFS else IMAGE + DOCUMENTS]:
        if os.path.isdir(base):
            yield os.path.realpath(base)


def find(path):
    for root in roots():
        full = os.path.realpath(os.path.join(root, path.lstrip("/")))
        if full != root and not full.startswith(root + os.sep):
            return None
        if os.path.isdir(full):
            full = os.path.join(full, "index.html")
        if os.path.isfile(full):
            return full
        if ROOTFS and os.listdir(root):
            return None
    return None


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server_version = NAME
    sys_version = ""

    def respond(self):
        length = int(self.headers.get("Content-Length") or 0)
        if length:
            self.rfile.read(min(length, 10 << 20))
        path = urllib.parse.unquote(self.path.partition("?")[0])
        found = None if "\0" in path else find(path)
        status, kind = 200, "text/plain"
        if found:
            kind = KINDS.get(os.path.splitext(found)[1], "application/octet-stream")
            with open(found, "rb") as file:
                body = file.read()
        elif path == "/hostname":
            body = (socket.gethostname() if not os.environ.get("HOSTNAME") else os.environ["HOSTNAME"]).encode() + b"\n"
        elif path in ("/", "/info"):
            lines = [
                f"Hostname: {os.environ.get('HOSTNAME', '')}",
                f"Pod IP: {os.environ.get('WORKSHOP_POD_IP', '')}",
                f"Client: {self.client_address[0]}",
                f"{self.command} {self.path} {self.request_version}",
                *(f"{name}: {value}" for name, value in self.headers.items()),
            ]
            body = "\n".join(lines).encode() + b"\n"
        else:
            status, kind = 404, "text/html"
            page = (
                "<html>\n<head><title>404 Not Found</title></head>\n<body>\n<center><h1>404 Not Found</h1></center>\n"
            )
            body = f"{page}<hr><center>{NAME}</center>\n</body>\n</html>\n".encode()
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    do_GET = do_HEAD = do_POST = do_PUT = do_DELETE = respond

    def log_request(self, code="-", size="-"):
        now = time.gmtime()
        when = f"{now.tm_mday:02d}/{MONTHS[now.tm_mon - 1]}/{now.tm_year}:{time.strftime('%H:%M:%S', now)} +0000"
        agent, referer = self.headers.get("User-Agent", "-"), self.headers.get("Referer", "-")
        print(
            f'{self.client_address[0]} - - [{when}] "{self.requestline}" {int(code)} {size} "{referer}" "{agent}" "-"',
            flush=True,
        )

    def log_message(self, format, *arguments):
        print(format % arguments, file=sys.stderr, flush=True)


class Server(http.server.ThreadingHTTPServer):
    daemon_threads = True
    allow_reuse_address = True

    def server_bind(self):
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.socket.bind(self.server_address)
        self.server_name, self.server_port = self.server_address


def main():
    arguments = sys.argv[1:]
    if "-v" in arguments or "-V" in arguments:
        print(f"nginx version: {NAME}" if not HTTPD else f"Server version: {NAME}", file=sys.stderr)
        return 0
    if "-t" in arguments or "-T" in arguments:
        print("nginx: the configuration file /etc/nginx/nginx.conf syntax is ok", file=sys.stderr)
        print("nginx: configuration file /etc/nginx/nginx.conf test is successful", file=sys.stderr)
        return 0
    with open("/proc/self/comm", "w") as file:
        file.write("httpd" if HTTPD else "nginx")
    address = os.environ.get("WORKSHOP_POD_IP", "") if ROOTFS else ""
    port = int(os.environ.get("NGINX_PORT") or 80)
    try:
        try:
            server = Server((address, port), Handler)
        except PermissionError:
            server = Server((address, port + SHIFT), Handler)
    except OSError as problem:
        print(
            f"nginx: [emerg] bind() to {address or '0.0.0.0'}:{port} failed ({problem.errno}: {problem.strerror})",
            file=sys.stderr,
        )
        return 1
    print(
        f"{NAME} listening on {address or '0.0.0.0'}:{server.server_port}",
        file=sys.stderr,
        flush=True,
    )

    def stop(number, frame):
        print(
            f"signal {number} ({signal.Signals(number).name}) received, gracefully shutting down",
            file=sys.stderr,
            flush=True,
        )
        os._exit(0)

    for number in (signal.SIGTERM, signal.SIGQUIT, signal.SIGINT, signal.SIGWINCH):
        if HTTPD or number != signal.SIGWINCH:
            signal.signal(number, stop)
    ready()
    server.serve_forever(poll_interval=3600)
    return 0


sys.exit(main())
