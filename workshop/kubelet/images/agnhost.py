"""agnhost's most used subcommands: pause, netexec, serve-hostname, connect, logs-generator, mounttest and others."""
# mypy: ignore-errors

import json
import os
import random
import signal
import socket
import stat
import subprocess
import sys
import threading
import time
import urllib.parse

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "usr/lib/agnhost"))
from serving import ADDRESS, HOST, STARTED, Handler, flags, listen

TERMINATED = threading.Event()


class NetExec(Handler):
    override = ""

    def do_GET(self):
        parts = urllib.parse.urlsplit(self.override or self.path)
        query, body = dict(urllib.parse.parse_qsl(parts.query)), self.body()
        if "json" not in self.headers.get("Content-Type", ""):
            query.update(urllib.parse.parse_qsl(body.decode(errors="replace")))
        status, path = 200, parts.path
        if path in ("/hostname", "/hostName"):
            text = HOST
        elif path == "/echo":
            text, status = query.get("msg", ""), int(query.get("code", 200))
        elif path == "/clientip":
            text = f"{self.client_address[0]}:{self.client_address[1]}"
        elif path == "/serverport":
            text = str(self.server.server_port)
        elif path in ("/healthz", "/readyz"):
            late = time.time() - STARTED < float(os.environ.get("DELAY", 0))
            text, status = ("ok" if path == "/readyz" else "", 412 if late else 200)
            if path == "/readyz" and TERMINATED.is_set():
                text, status = "shutting down", 503
        elif path == "/header":
            headers = {name: self.headers.get_all(name) for name in self.headers}
            text = self.headers.get(query["key"], "") if "key" in query else json.dumps(headers)
        elif path in ("/exit", "/shutdown"):
            code, wait = int(query.get("code", 0)), float(query.get("wait", "0s").rstrip("s"))
            threading.Timer(wait + 0.1, lambda: os._exit(code)).start()
            text = f"shutting down in {wait + 0.1} s with code {code}"
        elif path in ("/shell", "/Shell"):
            command = ["sh", "-c", query.get("shellCommand", query.get("cmd", ""))]
            done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
            problem = {"error": f"exit status {done.returncode}"} if done.returncode else {}
            text = json.dumps({**({"output": done.stdout} if done.stdout else {}), **problem})
        elif path == "/dial":
            text = self.dial(query)
        elif path == "/redirect":
            return self.answer("", int(query.get("code", 302)), Location=query.get("location", "/"))
        else:
            text = f"NOW: {time.strftime('%Y-%m-%d %H:%M:%S', time.gmtime())}"
        return self.answer(text, status)

    do_POST = do_PUT = do_HEAD = do_GET

    def dial(self, query):
        answers, problems = [], []
        for _ in range(int(query.get("tries", 1))):
            try:
                if query.get("protocol") == "udp":
                    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as peer:
                        peer.settimeout(2)
                        peer.sendto(query["request"].encode(), (query["host"], int(query["port"])))
                        answers.append(peer.recv(65536).decode())
                else:
                    with socket.create_connection((query["host"], int(query["port"])), 5) as peer:
                        peer.sendall(f"GET /{query['request'].lstrip('/')} HTTP/1.0\r\nHost: x\r\n\r\n".encode())
                        answers.append(peer.makefile("rb").read().partition(b"\r\n\r\n")[2].decode())
            except (OSError, KeyError, ValueError) as problem:
                problems.append(str(problem))
        return json.dumps({"responses": answers, **({"errors": problems} if problems else {})})


def udp(port):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind((ADDRESS, port))
        while True:
            data, peer = sock.recvfrom(65536)
            word = data.decode(errors="replace").strip()
            answer = (
                HOST
                if word.lower() == "hostname"
                else word[5:]
                if word.startswith("echo ")
                else f"{peer[0]}:{peer[1]}"
                if word == "clientip"
                else ""
            )
            if answer:
                sock.sendto(answer.encode(), peer)


def netexec(given):
    NetExec.override = given.get("http-override", "")
    certificate = given.get("tls-cert-file", ""), given.get("tls-private-key-file", "")
    server = listen(int(given.get("http-port", 8080)), NetExec, *certificate)
    if given.get("udp-port") != "-1":
        threading.Thread(target=udp, args=(int(given.get("udp-port", 8081)),), daemon=True).start()
    print(f"Started HTTP server on port {server.server_port}", flush=True)
    server.serve_forever(poll_interval=3600)


def serve_hostname(given):
    class Answer(Handler):
        def do_GET(self):
            self.answer(HOST)

    server = listen(int(given.get("port", 9376)), Answer)
    print(f"Serving on port {server.server_port}.", flush=True)
    server.serve_forever(poll_interval=3600)


def connect(given, rest):
    host, _, port = rest[0].rpartition(":")
    limit = given.get("timeout", "0").rstrip("s")
    try:
        socket.create_connection((host, int(port)), float(limit) or None).close()
    except TimeoutError:
        print("TIMEOUT", file=sys.stderr)
        return 1
    except ConnectionRefusedError:
        print("REFUSED", file=sys.stderr)
        return 1
    except socket.gaierror:
        print("DNS: could not resolve", file=sys.stderr)
        return 1
    except OSError as problem:
        print(f"OTHER: {problem}", file=sys.stderr)
        return 1
    return 0


NEW_FILE = "mount-tester new file\n"


def file_system(path):
    """The type of the file system that `path` lies on."""
    path, found = os.path.realpath(path), ("", "")
    with open("/proc/self/mounts") as mounts:
        for line in mounts:
            _, at, kind, *_ = line.split()
            if (path == at or path.startswith(at.rstrip("/") + "/")) and len(at) >= len(found[0]):
                found = (at, kind)
    return found[1]


def go_mode(path):
    """Go's way to write a mode: `drwxrwxrwt` is `dtrwxrwxrwx`."""
    mode = os.stat(path).st_mode
    kind = {stat.S_IFDIR: "d", stat.S_IFLNK: "L", stat.S_IFIFO: "p", stat.S_IFSOCK: "S"}.get(stat.S_IFMT(mode), "")
    kind += "".join(
        letter for bit, letter in ((stat.S_ISUID, "u"), (stat.S_ISGID, "g"), (stat.S_ISVTX, "t")) if mode & bit
    )
    return (kind or "-") + go_permissions(path)[1:]


def go_permissions(path):
    mode = os.stat(path).st_mode
    return "-" + "".join(letter if mode >> (8 - n) & 1 else "-" for n, letter in enumerate("rwxrwxrwx"))


def content(path):
    with open(path, encoding="utf-8", errors="replace") as file:
        text = file.read()
    print(f"content of file {json.dumps(path)}: {text}", flush=True)
    return text


def content_in_loop(path, seconds, until_expected):
    end, problem = time.time() + seconds, None
    while time.time() < end:
        try:
            text, problem = content(path), None
        except OSError as error:
            problem = error
            print(f"Error reading file {path}: {error}, retrying", flush=True)
        else:
            if until_expected and text == NEW_FILE:
                return
            if until_expected:
                print(f"Unexpected content. Expected: {NEW_FILE}. Retrying", flush=True)
        time.sleep(2)
    if problem:
        raise problem


def new_file(path, mode):
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode)
    with os.fdopen(descriptor, "w") as file:
        file.write(NEW_FILE)
    content(path)


def mounttest(given):
    """Looks at mounted files, and writes some; in this order, whatever the order of the flags."""
    os.umask(0)
    seconds = float(given.get("retry_time", 180))
    until_expected = given.get("break_on_expected_content", "true") != "false"
    quoted = json.dumps
    looks = {
        "fs_type": lambda p: print(f"mount type of {quoted(p)}: {file_system(p)}", flush=True),
        **{f"new_file_{mode:04o}": lambda p, mode=mode: new_file(p, mode) for mode in (0o644, 0o666, 0o660, 0o777)},
        "file_mode": lambda p: print(f"mode of file {quoted(p)}: {go_mode(p)}", flush=True),
        "file_perm": lambda p: print(f"perms of file {quoted(p)}: {go_permissions(p)}", flush=True),
        "file_owner": lambda p: print(
            f"owner UID of {quoted(p)}: {os.stat(p).st_uid}\nowner GID of {quoted(p)}: {os.stat(p).st_gid}", flush=True
        ),
        "file_content": content,
        "file_content_in_loop": lambda p: content_in_loop(p, seconds, until_expected),
    }
    failed = False
    for name, look in looks.items():
        if path := given.get(name):
            try:
                look(path)
            except OSError as error:
                failed = True
                print(f"error from {name}({quoted(path)}): {error}", flush=True)
    return int(failed)


#: Subcommands that live in programs of their own, beside this one.
APART = {
    **dict.fromkeys(("webhook", "crd-conversion-webhook"), "webhooks"),
    **dict.fromkeys(("liveness", "test-webserver", "porter", "nettest", "grpc-health-checking"), "servers"),
}


def logs_generator(given):
    """As many lines as asked for, in the form of an API server's log, evenly over the time."""
    total, duration = int(given.get("log-lines-total", 0)), float(given.get("run-duration", "0s").rstrip("s") or 0)
    for line in range(total):
        method, namespace = random.choice(("GET", "POST", "PUT")), random.choice(("kube-system", "default", "ns"))
        name = "".join(random.choices("bcdfghjklmnpqrstvwxz2456789", k=random.randint(3, 4)))
        head = f"I{time.strftime('%m%d %H:%M:%S')}.{time.time_ns() // 1000 % 1_000_000:06d} {os.getpid():7d}"
        text = f"{line} {method} /api/v1/namespaces/{namespace}/pods/{name} {random.randint(200, 599)}"
        print(f"{head} logs_generator.go:67] {text}", file=sys.stderr, flush=True)
        time.sleep(duration / total)


def resolver(word):
    """What /etc/resolv.conf says after `word`."""
    with open("/etc/resolv.conf") as file:
        return [entry for line in file if line.split()[:1] == [word] for entry in line.split()[1:]]


def main():
    program, command = os.path.abspath(sys.argv[0]), sys.argv[1] if len(sys.argv) > 1 else "help"
    if command in APART:
        apart = os.path.join(os.path.dirname(program), "usr/lib/agnhost", APART[command])
        os.execv(apart, [apart, *sys.argv[1:]])
    given, rest = flags(sys.argv[2:])
    delay = float(given.get("delay-shutdown", 0))
    signal.signal(signal.SIGTERM, lambda *_: (TERMINATED.set(), time.sleep(delay), os._exit(0)))
    if command not in ("netexec", "serve-hostname"):
        ready()
    if command == "pause":
        print("Paused", flush=True)
        while True:
            signal.pause()
    if command == "netexec":
        return netexec(given)
    if command == "serve-hostname":
        return serve_hostname(given)
    if command == "connect":
        return connect(given, rest)
    if command == "mounttest":
        return mounttest(given)
    if command == "logs-generator":
        return logs_generator(given)
    if command == "entrypoint-tester":
        print(f"[{' '.join(sys.argv)}]")
        return 0
    if command in ("dns-suffix", "dns-server-list"):
        print(",".join(resolver("search" if command == "dns-suffix" else "nameserver")))
        return 0
    if command == "etc-hosts":
        with open("/etc/hosts") as file:
            print(file.read())
        return 0
    print(f'Error: unknown command "{command}" for "app"', file=sys.stderr)
    return 1


sys.exit(main())
