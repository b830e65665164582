"""One process that the shim owns: a container, or an exec session in one. Its output goes to a log and to clients."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import signal
import struct
import termios
import time
from collections.abc import Callable
from functools import partial
from typing import Any

from workshop.kubelet.shim import child
from workshop.kubelet.shim.logs import LogFile
from workshop.kubelet.shim.loop import Loop, Outbox

STDIN, STDOUT, STDERR, EXIT, RESIZE = range(5)
EARLY = 64 * 1024
NAMES = {STDOUT: "stdout", STDERR: "stderr"}


def start_time(pid: int) -> int:
    """When a process started, in clock ticks since boot: with the pid it names a process for ever.

    0 when it is gone, or has ended and only waits to be reaped.
    """
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            fields = file.read().rpartition(b")")[2].split()
        return 0 if fields[0] in (b"Z", b"X") else int(fields[19])
    except (OSError, IndexError, ValueError):
        return 0


def write_durably(path: str, value: dict[str, Any]) -> None:
    """Replace a JSON file so that after a crash either the old or the new one is there."""
    temporary = path + ".tmp"
    fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    try:
        os.write(fd, json.dumps(value).encode())
        os.fsync(fd)
    finally:
        os.close(fd)
    os.replace(temporary, path)


class Client:
    """Who reads a process's output, and may write to its input: one connection of exec or attach.

    `finish` ends the connection once all that was framed is on its way.
    """

    def __init__(self, outbox: Outbox, finish: Callable[[], None]) -> None:
        self.outbox, self.finish = outbox, finish
        self.dropped = False

    def frame(self, channel: int, data: bytes) -> None:
        """Send one frame."""
        if not self.dropped:
            self.outbox.send(struct.pack(">BI", channel, len(data)) + data)


class Process:
    """A child and its three streams."""

    def __init__(
        self, loop: Loop, spec: dict[str, Any], log: LogFile | None, on_exit: Callable[[Process], None]
    ) -> None:
        self._loop, self.spec, self._log, self._on_exit = loop, spec, log, on_exit
        self.tty, self.with_stdin = bool(spec.get("tty")), bool(spec.get("stdin"))
        self.clients: list[Client] = []
        self.pid = 0
        self.started_at = 0.0
        self.exit: dict[str, Any] | None = None
        self._outputs: dict[int, int] = {}  # descriptor -> channel
        self._paused = False
        self._stdin: Outbox | None = None
        self._master = -1
        self.ready = True
        self._held: list[int] = []
        self._when_ready: list[Callable[[], None]] = []
        # what was said before the first client came, so that `kubectl run -i` misses nothing
        self._early: list[tuple[int, bytes]] | None = [] if self.with_stdin and log else None

    def start(self) -> None:
        """Fork. Raises OSError."""
        ours: list[int] = []
        theirs: list[int] = []
        stdio = None
        if not self.tty:
            stdin_read, stdin_write = os.pipe() if self.with_stdin else (os.open("/dev/null", os.O_RDONLY), -1)
            out_read, out_write = os.pipe()
            err_read, err_write = os.pipe()
            ours = [fd for fd in (stdin_write, out_read, err_read) if fd >= 0]
            theirs = [stdin_read, out_write, err_write]
            stdio = (stdin_read, out_write, err_write)
        told, tell = os.pipe() if self.spec.get("tells") else (-1, -1)
        if tell >= 0:
            ours, theirs = [*ours, told], [*theirs, tell]
        try:
            self.pid, self._master = child.spawn(self.spec, stdio, tell)
        except OSError:
            for fd in ours:
                os.close(fd)
            raise
        finally:
            for fd in theirs:
                os.close(fd)
        self.started_at = time.time()  # noqa: TID251
        for fd in [self._master] if self.tty else ours:
            os.set_blocking(fd, False)
        if told >= 0:
            self.ready = False
            self._loop.watch(told, read=partial(self._told, told))
        if self.tty:
            self._outputs = {self._master: STDOUT}
            self._stdin = Outbox(self._loop, self._master, lambda: None)
            self._stdin.reader(partial(self._readable, self._master))
        else:
            if self.with_stdin:
                self._stdin = Outbox(self._loop, stdin_write, self._stdin_broken)
            self._outputs = {out_read: STDOUT, err_read: STDERR}
            for fd in self._outputs:
                self._loop.watch(fd, read=partial(self._readable, fd))

    def _told(self, fd: int) -> None:
        """The other end is closed: the program handles signals now, or has ended."""
        self._loop.watch(fd)
        os.close(fd)
        self.ready = True
        held, self._held = self._held, []
        for number in held:
            self.signal(number)
        waiting, self._when_ready = self._when_ready, []
        for callback in waiting:
            callback()

    def when_ready(self, callback: Callable[[], None]) -> None:
        """Once: now if it is, at the latest when it has ended."""
        if self.ready:
            callback()
        else:
            self._when_ready.append(callback)

    def attach(self, client: Client) -> None:
        """One more reader."""
        for channel, data in self._early or ():
            client.frame(channel, data)
        self._early = None
        self.clients.append(client)

    # -- output ------------------------------------------------------------------------------------------------

    def _readable(self, fd: int) -> None:
        self._read(fd)

    def _read(self, fd: int, budget: int = 65536) -> bool:
        """Pass on what is there; False when nothing is left for now."""
        try:
            data = os.read(fd, budget)
        except BlockingIOError:
            return False
        except OSError:  # a terminal whose last user is gone
            data = b""
        if not data:
            self._close_output(fd)
            return False
        channel = self._outputs[fd]
        if self._log:
            self._log.write(NAMES[channel], data)
        if self._early is not None and sum(len(said) for _, said in self._early) < EARLY:
            self._early.append((channel, data))
        for client in list(self.clients):
            client.frame(channel, data)
            if client.outbox.full():
                self._slow(client)
        return True

    def _slow(self, client: Client) -> None:
        """An exec session waits for its client; a container never does, so a client too far behind is cut off."""
        if self._log is None:
            self._pause(True)
            client.outbox.on_drained = lambda: self._pause(False)
        elif client.outbox.size() > 8 * 1024 * 1024:
            client.dropped = True
            self.clients.remove(client)
            client.finish()

    def _pause(self, paused: bool) -> None:
        if self._paused == paused:
            return
        self._paused = paused
        for fd in self._outputs:
            callback = None if paused else partial(self._readable, fd)
            if fd == self._master and self._stdin:
                self._stdin.reader(callback)
            else:
                self._loop.watch(fd, read=callback)

    def _close_output(self, fd: int) -> None:
        if self._outputs.pop(fd, None) is None:
            return
        if fd == self._master:
            if self._stdin:
                self._stdin.forget()
                self._stdin = None
            self._master = -1
        self._loop.watch(fd)
        os.close(fd)

    # -- input -------------------------------------------------------------------------------------------------

    def write(self, data: bytes) -> None:
        """To standard input; dropped when nobody reads it."""
        if self._stdin:
            self._stdin.send(data)

    def input_full(self) -> bool:
        return self._stdin is not None and self._stdin.full()

    def on_input_drained(self, callback: Callable[[], None]) -> None:
        if self._stdin:
            self._stdin.on_drained = callback

    def close_stdin(self) -> None:
        """End of input, once all before it is written. On a terminal that is the end-of-file character."""
        if self._stdin is None:
            return
        if self.tty:
            self._stdin.send(b"\x04")
        else:
            self._stdin.close_when_sent(self._stdin_broken)

    def _stdin_broken(self) -> None:
        if self._stdin and not self.tty:
            fd = self._stdin.fd
            self._stdin.forget()
            self._stdin = None
            os.close(fd)

    def resize(self, width: int, height: int) -> None:
        """Columns and rows of the terminal; the program gets SIGWINCH."""
        if self._master >= 0:
            with contextlib.suppress(OSError):  # whoever looked at it has just ended
                fcntl.ioctl(self._master, termios.TIOCSWINSZ, struct.pack("HHHH", height, width, 0, 0))

    # -- the end -----------------------------------------------------------------------------------------------

    def signal(self, number: int) -> None:
        """To the process, once it can take it; SIGKILL at once, to its whole group."""
        if not self.ready and number != signal.SIGKILL:
            self._held.append(number)
            return
        with contextlib.suppress(ProcessLookupError):
            if number == signal.SIGKILL:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(self.pid, number)
            os.kill(self.pid, number)

    def ended(self, status: int) -> None:
        """The child was reaped: take what is left of its output, then tell."""
        killed = os.WTERMSIG(status) if os.WIFSIGNALED(status) else 0
        code = 128 + killed if killed else os.WEXITSTATUS(status)
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, signal.SIGKILL)
        self.exit = {
            "exit_code": code,
            "signal": killed,
            "finished_at": time.time(),  # noqa: TID251
            "oom": self._out_of_memory(killed),
        }
        self.finish()

    def finish(self) -> None:
        """Drain, but wait for a slow exec client first."""
        if self._paused:
            for client in self.clients:
                client.outbox.on_drained = self.finish
            self._paused = False
            return
        for fd in list(self._outputs):
            while fd in self._outputs and self._read(fd):
                if self._log is None and any(client.outbox.full() for client in self.clients):
                    self._paused = True
                    self.finish()
                    return
            self._close_output(fd)
        self._stdin_broken()
        if self._log:
            self._log.close()
        self._on_exit(self)

    def _out_of_memory(self, killed: int) -> bool:
        if self.spec.get("oom"):
            return True
        for path in self.spec.get("oom_files", ()):
            with contextlib.suppress(OSError, ValueError), open(path) as file:
                for line in file:
                    name, _, count = line.partition(" ")
                    if name == "oom_kill" and int(count):
                        return killed == signal.SIGKILL
        return False
