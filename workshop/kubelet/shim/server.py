"""The shim's main loop and its verbs on the pod's socket."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import struct
import sys
from collections.abc import Callable
from typing import Any

from workshop.kubelet.shim import child
from workshop.kubelet.shim.containers import EXIT, RESIZE, STDIN, Client, Process, start_time, write_durably
from workshop.kubelet.shim.logs import LogFile
from workshop.kubelet.shim.loop import Loop, Outbox, send_descriptor

MEMORY_CHECK = 0.5


class Connection:
    """One client of the socket: a line, then perhaps frames."""

    def __init__(self, shim: Shim, sock: socket.socket) -> None:
        self.shim, self.sock = shim, sock
        sock.setblocking(False)
        self.outbox = Outbox(shim.loop, sock.fileno(), self.close)
        self.outbox.reader(self._readable)
        self._buffer = b""
        self._frames: Callable[[int, bytes], None] | None = None
        self.on_close: Callable[[], None] | None = None
        self.closed = False

    def _readable(self) -> None:
        try:
            data = self.sock.recv(65536)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self.close()
            return
        self._buffer += data
        if self._frames is None:
            line, newline, rest = self._buffer.partition(b"\n")
            if not newline:
                return
            self._buffer = rest
            self.shim.request(self, json.loads(line))
        self._unframe()

    def _unframe(self) -> None:
        while self._frames and len(self._buffer) >= 5:
            channel, length = struct.unpack_from(">BI", self._buffer)
            if len(self._buffer) < 5 + length:
                return
            payload, self._buffer = self._buffer[5 : 5 + length], self._buffer[5 + length :]
            self._frames(channel, payload)

    def take_frames(self, handler: Callable[[int, bytes], None]) -> None:
        """All that comes from now on is frames."""
        self._frames = handler

    def pause(self, process: Process) -> None:
        """Read no more from the client until the process has taken its input."""

        def resume() -> None:
            if not self.closed:
                self.outbox.reader(self._readable)

        self.outbox.reader(None)
        process.on_input_drained(resume)

    def finish(self) -> None:
        """All is said once it is on its way. What the client still sends is read and dropped until it goes: a socket
        that is closed over unread bytes, or written to when it is closed, loses what its other end has not read yet."""

        def end() -> None:
            with contextlib.suppress(OSError):
                self.sock.shutdown(socket.SHUT_WR)

        self._frames = lambda channel, payload: None
        self.outbox.reader(self._readable)
        self.outbox.close_when_sent(end)

    def answer(self, value: dict[str, Any]) -> None:
        """One line of JSON."""
        self.outbox.send(json.dumps(value).encode() + b"\n")

    def close(self) -> None:
        """Forget the client."""
        if self.closed:
            return
        self.closed = True
        self.outbox.forget()
        self.sock.close()
        if self.on_close:
            self.on_close()


class Shim:
    """Owns the containers of one pod."""

    def __init__(self, directory: str) -> None:
        self.directory = directory
        self.loop = Loop()
        self.containers: dict[str, Process] = {}
        self._by_pid: dict[int, Process] = {}
        self._subscribers: list[Connection] = []
        self._checking_memory = False

    # -- verbs -------------------------------------------------------------------------------------------------

    def request(self, connection: Connection, request: dict[str, Any]) -> None:
        """Answer one line."""
        try:
            getattr(self, "verb_" + str(request.get("verb")))(connection, request)
        except OSError as problem:
            connection.answer({"error": problem.strerror or str(problem), "errno": problem.errno or 0})
        except (AttributeError, KeyError, ValueError) as problem:
            connection.answer({"error": f"bad request: {problem!r}"})

    def verb_start(self, connection: Connection, request: dict[str, Any]) -> None:
        """{"id"} runs c/<id>/spec.json. Answered when the program is ready, or has ended."""
        identity = request["id"]
        folder = os.path.join(self.directory, "c", identity[:12])
        with open(os.path.join(folder, "spec.json"), "rb") as file:
            spec = json.loads(file.read())
        log = LogFile(spec["log_path"])

        def on_exit(process: Process) -> None:
            self._sweep(process, identity)
            write_durably(os.path.join(folder, "exit.json"), process.exit or {})
            self._tell({"event": "exit", "id": identity, "exit": process.exit})
            for client in process.clients:
                client.frame(EXIT, json.dumps(process.exit).encode())

        process = Process(self.loop, spec, log, on_exit)
        try:
            process.start()
        except OSError:
            log.close()
            raise
        self.containers[identity] = self._by_pid[process.pid] = process
        state = {"pid": process.pid, "start": start_time(process.pid), "started_at": process.started_at}
        write_durably(os.path.join(folder, "state.json"), state)
        if spec.get("memory_watch"):
            self._watch_memory()
        # an interpreter begins later than the program that it stands for: it has started when it says so
        process.when_ready(lambda: None if connection.closed else connection.answer(state))

    def verb_signal(self, connection: Connection, request: dict[str, Any]) -> None:
        """{"id", "signal"} to a container that runs."""
        process = self.containers.get(request["id"])
        if process is not None and process.exit is None:
            process.signal(int(request["signal"]))
        connection.answer({})

    def verb_limit(self, connection: Connection, request: dict[str, Any]) -> None:
        """{"id", "memory"}: from now on so many bytes may be used; 0: as many as there are."""
        process = self.containers.get(request["id"])
        if process is not None:
            process.spec["memory_watch"] = request["memory"]
            self._watch_memory()
        connection.answer({})

    def verb_exec(self, connection: Connection, request: dict[str, Any]) -> None:
        """{"spec"} runs one more process; frames follow."""
        spec = request["spec"]
        client = Client(connection.outbox, connection.finish)

        def on_exit(process: Process) -> None:
            client.frame(EXIT, json.dumps(process.exit).encode())
            client.finish()

        process = Process(self.loop, spec, None, on_exit)
        process.clients.append(client)
        process.start()
        self._by_pid[process.pid] = process
        connection.answer({"pid": process.pid})
        self._stream(connection, process)

        def on_close() -> None:
            # as when a terminal is hung up: who lost the client gets SIGHUP, and no more input
            client.dropped = True
            if process.exit is None:
                process._pause(False)
                process.close_stdin()
                if request.get("kill_on_close"):
                    process.signal(signal.SIGKILL)
                elif spec.get("tty"):
                    process.signal(signal.SIGHUP)

        connection.on_close = on_close

    def verb_attach(self, connection: Connection, request: dict[str, Any]) -> None:
        """{"id"} joins a container's streams; frames follow."""
        process = self.containers.get(request["id"])
        if process is None or process.exit is not None:
            connection.answer({"error": "container is not running"})
            return
        connection.answer({})
        client = Client(connection.outbox, connection.finish)
        process.attach(client)
        once = bool(process.spec.get("stdin_once"))
        fed = self._stream(connection, process, ends=once)

        def on_close() -> None:
            client.dropped = True
            if client in process.clients:
                process.clients.remove(client)
            if once and fed:
                process.close_stdin()  # who has fed it was the only one to do so

        connection.on_close = on_close

    def _stream(self, connection: Connection, process: Process, *, ends: bool = True) -> list[bool]:
        """Take the client's frames. `ends`: the end of its input is the end of the process's. The list is empty until
        there was input."""
        fed: list[bool] = []

        def frame(channel: int, payload: bytes) -> None:
            if channel == STDIN and not fed:
                fed.append(True)
            if channel == STDIN and payload:
                process.write(payload)
                if process.input_full():
                    connection.pause(process)
            elif channel == STDIN and ends:
                process.close_stdin()
            elif channel == RESIZE:
                size = json.loads(payload)
                process.resize(int(size["width"]), int(size["height"]))

        connection.take_frames(frame)
        return fed

    def verb_dial(self, connection: Connection, request: dict[str, Any]) -> None:
        """{"addresses", "port"}: connects inside the pod's network; the open socket comes with the answer.

        A refusal is final only when all containers are ready: one that begins may be about to bind the port.
        """
        beginning = [process for process in self.containers.values() if not process.ready and process.exit is None]
        try:
            self._dial(connection, request)
        except OSError:
            if not beginning:
                raise
            beginning[0].when_ready(lambda: None if connection.closed else self.request(connection, request))

    def _dial(self, connection: Connection, request: dict[str, Any]) -> None:
        problem: OSError = OSError("no address")
        for address in request["addresses"]:
            sock = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_STREAM)
            sock.settimeout(5)
            try:
                sock.connect((address, int(request["port"])))
            except OSError as refused:
                problem = refused
                sock.close()
                continue
            with sock:
                send_descriptor(connection.sock, b"{}\n", sock.fileno())
            connection.close()
            return
        raise problem

    def verb_subscribe(self, connection: Connection, request: dict[str, Any]) -> None:
        """The containers that run, then an event a line, for as long as the connection lives."""
        self._subscribers.append(connection)
        connection.on_close = lambda: self._subscribers.remove(connection)
        connection.answer({"running": [key for key, process in self.containers.items() if process.exit is None]})

    def verb_forget(self, connection: Connection, request: dict[str, Any]) -> None:
        """{"id"} of a container that has ended."""
        process = self.containers.get(request["id"])
        if process is not None and process.exit is not None:
            del self.containers[request["id"]]
        connection.answer({})

    def verb_shutdown(self, connection: Connection, request: dict[str, Any]) -> None:
        """End. Whatever still runs is killed."""
        for process in self._by_pid.values():
            process.signal(signal.SIGKILL)
        self._stopping = True
        connection.answer({})
        if not self._by_pid:
            self.loop.stopped = True

    _stopping = False

    # -- processes ---------------------------------------------------------------------------------------------

    def reap(self) -> None:
        """Children that ended, ours and inherited ones."""
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                break
            if not pid:
                break
            process = self._by_pid.pop(pid, None)
            if process is not None:
                process.ended(status)
        if self._stopping and not self._by_pid:
            self.loop.stopped = True

    def _sweep(self, process: Process, identity: str) -> None:
        """Without a pid namespace of its own, what a container left behind has another parent now (us, or the first
        process of the namespace that it shares): end it too."""
        own = process.spec.get("pid_namespace")
        if own is True:
            return
        mark, parent = f"WORKSHOP_CONTAINER={identity}".encode(), own or os.getpid()
        with contextlib.suppress(OSError), open(f"/proc/{parent}/task/{parent}/children") as file:
            for pid in map(int, file.read().split()):
                with contextlib.suppress(OSError), open(f"/proc/{pid}/environ", "rb") as environment:
                    if pid not in self._by_pid and mark in environment.read().split(b"\0"):
                        os.kill(pid, signal.SIGKILL)

    def _watch_memory(self) -> None:
        """Where there are no cgroups, a container past its memory limit is killed as the kernel would have done."""
        if not self._checking_memory:
            self._checking_memory = True
            self.loop.after(MEMORY_CHECK, self._check_memory)

    def _check_memory(self) -> None:
        self._checking_memory = False
        for process in list(self.containers.values()):
            limit = process.spec.get("memory_watch")
            if not limit or process.exit is not None:
                continue
            self._watch_memory()
            with contextlib.suppress(OSError), open(f"/proc/{process.pid}/statm") as file:
                if int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") > limit:
                    process.spec["oom"] = True
                    process.signal(signal.SIGKILL)

    def _tell(self, event: dict[str, Any]) -> None:
        for subscriber in list(self._subscribers):
            subscriber.answer(event)

    # -- life --------------------------------------------------------------------------------------------------

    def serve(self) -> None:
        """Until shutdown."""
        os.chdir(self.directory)  # a socket's path may have 107 bytes only, so it is bound from inside
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        with contextlib.suppress(FileNotFoundError):
            os.unlink("shim.sock")
        os.umask(0o177)
        listener.bind("shim.sock")
        os.umask(0o077)
        listener.listen(64)
        listener.setblocking(False)

        def accept() -> None:
            with contextlib.suppress(BlockingIOError):
                Connection(self, listener.accept()[0])

        self.loop.watch(listener.fileno(), read=accept)
        wake_read, wake_write = os.pipe()
        os.set_blocking(wake_read, False)
        os.set_blocking(wake_write, False)

        def woken() -> None:
            with contextlib.suppress(BlockingIOError):
                os.read(wake_read, 4096)
            self.reap()

        self.loop.watch(wake_read, read=woken)
        signal.set_wakeup_fd(wake_write, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGPIPE):
            signal.signal(number, signal.SIG_IGN)
        write_durably("shim.json", {"pid": os.getpid(), "start": start_time(os.getpid())})
        os.write(1, b"ready\n")
        null = os.open("/dev/null", os.O_RDWR)
        for fd in (0, 1):
            os.dup2(null, fd)
        self.loop.run()


def main(argv: list[str]) -> int:
    """Options come in pairs: `-name web-0 -dir /…`."""
    options = dict(zip(argv[::2], argv[1::2], strict=False))
    with contextlib.suppress(OSError), open("/proc/self/comm", "w") as file:
        file.write("shim")
    flags = 0
    for name in filter(None, options.get("-unshare", "").split(",")):
        flags |= child.NAMESPACES[name]
    try:
        child.become_subreaper()
        if flags:
            child.unshare(flags)
        if "-hostname" in options and flags & child.CLONE_NEWUTS:
            socket.sethostname(options["-hostname"])
        Shim(options["-dir"]).serve()
    except OSError as problem:
        sys.stderr.write(f"{problem}\n")
        return 1
    return 0
