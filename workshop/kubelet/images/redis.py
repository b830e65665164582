"""redis-server and redis-cli: the RESP protocol with the commands that a tutorial uses, kept in memory."""
# mypy: ignore-errors

import fnmatch
import os
import selectors
import signal
import socket
import sys
import time

SHIFT = int(os.environ.get("WORKSHOP_PORT_SHIFT") or 0)
ADDRESS = os.environ.get("WORKSHOP_POD_IP", "") if os.environ.get("WORKSHOP_ROOTFS") else ""
WRONG = "-WRONGTYPE Operation against a key holding the wrong kind of value\r\n"


def bulk(value):
    return b"$-1\r\n" if value is None else b"$%d\r\n%s\r\n" % (len(value), value)


def array(values):
    return b"*%d\r\n" % len(values) + b"".join(bulk(value) for value in values)


def number(value):
    return b":%d\r\n" % value


def error(text):
    return f"-ERR {text}\r\n".encode()


class Store:
    def __init__(self):
        self.data, self.deadline = {}, {}

    def get(self, key, kind):
        if self.deadline.get(key, 1e18) <= time.time():
            self.data.pop(key, None)
            self.deadline.pop(key, None)
        value = self.data.get(key)
        if value is not None and not isinstance(value, kind):
            raise TypeError
        return value

    def run(self, words):
        name, rest = words[0].decode(errors="replace").lower(), words[1:]
        command = getattr(self, "do_" + name, None)
        if command is None:
            return error(f"unknown command '{words[0].decode(errors='replace')}'")
        try:
            return command(*rest)
        except (AttributeError, TypeError) as problem:
            if str(problem):
                return error(f"wrong number of arguments for '{name}' command")
            return WRONG.encode()
        except ValueError:
            return error("value is not an integer or out of range")

    def do_ping(self, text=None):
        return b"+PONG\r\n" if text is None else bulk(text)

    def do_echo(self, text):
        return bulk(text)

    def do_set(self, key, value, *options):
        words = [option.lower() for option in options]
        if (b"nx" in words and key in self.data) or (b"xx" in words and key not in self.data):
            return bulk(None)
        self.data[key] = value
        self.deadline.pop(key, None)
        for unit, scale in ((b"ex", 1), (b"px", 1000)):
            if unit in words:
                self.deadline[key] = time.time() + int(options[words.index(unit) + 1]) / scale
        return b"+OK\r\n"

    def do_get(self, key):
        return bulk(self.get(key, bytes))

    def do_mget(self, *keys):
        return array([self.get(key, bytes) for key in keys])

    def do_mset(self, *pairs):
        self.data.update(zip(pairs[::2], pairs[1::2], strict=False))
        return b"+OK\r\n"

    def do_append(self, key, value):
        self.data[key] = (self.get(key, bytes) or b"") + value
        return number(len(self.data[key]))

    def do_incrby(self, key, by):
        value = int(self.get(key, bytes) or 0) + int(by)
        self.data[key] = b"%d" % value
        return number(value)

    def do_incr(self, key):
        return self.do_incrby(key, 1)

    def do_decr(self, key):
        return self.do_incrby(key, -1)

    def do_decrby(self, key, by):
        return self.do_incrby(key, -int(by))

    def do_del(self, *keys):
        return number(sum(self.data.pop(key, None) is not None for key in keys))

    def do_exists(self, *keys):
        return number(sum(self.get(key, object) is not None for key in keys))

    def do_keys(self, pattern):
        return array(
            [
                key
                for key in list(self.data)
                if fnmatch.fnmatchcase(key.decode(), pattern.decode()) and self.get(key, object) is not None
            ]
        )

    def do_dbsize(self):
        return number(len(self.data))

    def do_flushall(self, *_):
        self.data.clear()
        return b"+OK\r\n"

    do_flushdb = do_flushall

    def do_expire(self, key, seconds):
        if key not in self.data:
            return number(0)
        self.deadline[key] = time.time() + int(seconds)
        return number(1)

    def do_ttl(self, key):
        if self.get(key, object) is None:
            return number(-2)
        return number(round(self.deadline[key] - time.time()) if key in self.deadline else -1)

    def do_type(self, key):
        value = self.get(key, object)
        return b"+%s\r\n" % {bytes: b"string", list: b"list", dict: b"hash", set: b"set"}.get(type(value), b"none")

    def do_rpush(self, key, *values):
        items = self.get(key, list) or self.data.setdefault(key, [])
        items.extend(values)
        return number(len(items))

    def do_lpush(self, key, *values):
        items = self.get(key, list) or self.data.setdefault(key, [])
        items[:0] = values[::-1]
        return number(len(items))

    def do_lpop(self, key):
        items = self.get(key, list)
        return bulk(items.pop(0) if items else None)

    def do_rpop(self, key):
        items = self.get(key, list)
        return bulk(items.pop() if items else None)

    def do_llen(self, key):
        return number(len(self.get(key, list) or ()))

    def do_lrange(self, key, first, last):
        items, end = self.get(key, list) or [], int(last)
        return array(items[int(first) :] if end == -1 else items[int(first) : end + 1])

    def do_hset(self, key, *pairs):
        fields = self.get(key, dict)
        if fields is None:
            fields = self.data.setdefault(key, {})
        new = sum(name not in fields for name in pairs[::2])
        fields.update(zip(pairs[::2], pairs[1::2], strict=False))
        return number(new)

    def do_hget(self, key, name):
        return bulk((self.get(key, dict) or {}).get(name))

    def do_hgetall(self, key):
        return array([part for pair in (self.get(key, dict) or {}).items() for part in pair])

    def do_sadd(self, key, *members):
        held = self.get(key, set)
        if held is None:
            held = self.data.setdefault(key, set())
        before = len(held)
        held.update(members)
        return number(len(held) - before)

    def do_smembers(self, key):
        return array(sorted(self.get(key, set) or ()))

    def do_info(self, *_):
        return bulk(
            b"# Server\r\nredis_version:8.2.0\r\nredis_mode:standalone\r\n# Keyspace\r\ndb0:keys=%d\r\n"
            % len(self.data)
        )

    def do_command(self, *_):
        return array([])

    def do_client(self, *_):
        return b"+OK\r\n"

    do_select = do_client

    def do_config(self, *_):
        return array([])


def words_of(buffer):
    """One request out of the buffer as (words, rest), or None when it is not whole yet."""
    line, end, rest = buffer.partition(b"\r\n")
    if not end:
        line, end, rest = buffer.partition(b"\n")
        if not end or line.startswith(b"*"):
            return None
    if not line.startswith(b"*"):
        return line.split(), rest
    words = []
    for _ in range(int(line[1:])):
        head, end, rest = rest.partition(b"\r\n")
        if not end or len(rest) < int(head[1:]) + 2:
            return None
        words.append(rest[: int(head[1:])])
        rest = rest[int(head[1:]) + 2 :]
    return words, rest


def serve(port):
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind((ADDRESS, port))
    listener.listen(128)
    print(f"{os.getpid()}:M * Ready to accept connections tcp {ADDRESS or '*'}:{port}", flush=True)
    store, choose = Store(), selectors.DefaultSelector()
    choose.register(listener, selectors.EVENT_READ)
    signal.signal(
        signal.SIGTERM,
        lambda *_: (print(f"{os.getpid()}:M * User requested shutdown... bye bye", flush=True), os._exit(0)),
    )
    ready()
    buffers = {}
    while True:
        for key, _ in choose.select():
            if key.fileobj is listener:
                peer, _ = listener.accept()
                choose.register(peer, selectors.EVENT_READ)
                buffers[peer] = b""
                continue
            peer = key.fileobj
            try:
                data = peer.recv(65536)
                buffers[peer] += data
                while data and (parsed := words_of(buffers[peer])):
                    words, buffers[peer] = parsed
                    if words and words[0].lower() == b"quit":
                        data = b""
                    elif words:
                        peer.sendall(store.run(words))
            except (OSError, ValueError):
                data = b""
            if not data:
                choose.unregister(peer)
                buffers.pop(peer)
                peer.close()


def show(stream):
    line = stream.readline().rstrip(b"\r\n")
    kind, rest = line[:1], line[1:].decode(errors="replace")
    if kind == b"$":
        return "(nil)" if rest == "-1" else stream.read(int(rest) + 2)[:-2].decode(errors="replace")
    if kind == b"*":
        return "\n".join(show(stream) for _ in range(int(rest))) or "(empty array)"
    return {b"-": "(error) ", b":": ""}.get(kind, "") + rest


def client(arguments):
    host, port = ADDRESS or "127.0.0.1", 6379
    while arguments[:1] and arguments[0] in ("-h", "-p"):
        host, port = (arguments[1], port) if arguments[0] == "-h" else (host, int(arguments[1]))
        arguments = arguments[2:]
    try:
        peer = socket.create_connection((host, port), 5)
    except OSError as problem:
        print(f"Could not connect to Redis at {host}:{port}: {problem.strerror}", file=sys.stderr)
        return 1
    stream = peer.makefile("rb")
    requests = [arguments] if arguments else (line.split() for line in sys.stdin if line.strip())
    for request in requests:
        peer.sendall(array([word.encode() for word in request]))
        print(show(stream), flush=True)
    return 0


if "cli" in os.path.basename(sys.argv[0]):
    ready()
    sys.exit(client(sys.argv[1:]))
asked = sys.argv[sys.argv.index("--port") + 1] if "--port" in sys.argv else "6379"
serve(int(asked))
