"""The zygote: a process that has imported every component and forks them.

A fresh Python with every component takes a third of a second and 40 MB; a fork of this
process takes a millisecond and shares those pages. It has no event loop, no thread and no socket beside the one on
which orders come; that is asserted before each fork, because a child would inherit them half alive.

    supervisor ──order──▶ zygote ──fork──▶ (dies at once) ──fork──▶ component
               ◀──pid────

The child in the middle dies, so that the component becomes a child of the supervisor, which is a child subreaper:
only a parent learns an exit status.

Orders are JSON objects on a Unix socket of type SEQPACKET, with file descriptors beside them:
`{"do": "join", "pid": 7}` enters the namespaces of a process; `{"do": "fork", "module": …, "argv": …, "log": …,
"namespace": …, "listen": n}` forks a component and hands it n listening sockets. End of file ends the zygote.
"""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import gc
import importlib
import importlib.util
import json
import os
import random
import signal
import socket
import stat
import sys
import threading
import traceback
from collections.abc import Container
from typing import Any

from workshop import swap

MAX_ORDER = 64 * 1024
REST = 5.0
"""Seconds without an order after which the zygote lets go of what it holds only by chance."""
MADV_DONTNEED = 4
TITLE_ROOM = "WORKSHOP_TITLE_ROOM"
"""setproctitle may write over the memory of the first environment; this variable makes that long enough."""


LATE = (
    "encodings.idna",
    "stringprep",
    "uvicorn.lifespan.off",
    "cryptography.hazmat.backends.openssl.backend",
)
"""What libraries import at their first use: here once for all."""


def environment() -> dict[str, str]:
    """The zygote's environment: room for titles, and one arena for each process's memory."""
    return {**os.environ, "MALLOC_ARENA_MAX": "1", TITLE_ROOM: "-" * 6000}


def preload(packages: list[str]) -> None:
    """Import what the components will need, then move it out of the garbage collector's way.

    No collection runs before: it would leave holes in shared pages, and the first object a child puts there copies
    the page.
    """
    gc.disable()
    for package in packages:
        try:
            for module in ("__main__", "run"):
                if importlib.util.find_spec(f"{package}.{module}"):
                    importlib.import_module(f"{package}.{module}")
        except Exception:  # noqa: BLE001  its component will fail alone, and its own log will say why
            traceback.print_exc()
    for module in LATE:
        importlib.import_module(module)
    importlib.import_module("workshop.cluster.rehearsal").rehearse()
    gc.freeze()
    gc.enable()


def let_go_of_code() -> None:
    """Unmap, page by page, what this process has read from files and never changed: libraries' code and constants.

    It ran all of their start-up code and will hardly run it again. What is needed is mapped again at the next touch,
    from the page cache; memory that was written to (relocated tables above all) stays.
    """
    libc = ctypes.CDLL(None)
    libc.madvise.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
    start = end = 0
    with open("/proc/self/smaps", encoding="utf-8") as file:
        for line in file:
            head, *fields = line.split()
            if not head.endswith(":"):
                start, end = (int(part, 16) for part in head.split("-"))
                from_file = fields[0] in ("r--p", "r-xp") and fields[3] != "0"
            elif head == "Anonymous:" and from_file and fields[0] == "0":
                libc.madvise(start, end - start, MADV_DONTNEED)


def assert_forkable(allowed: Container[int]) -> None:
    """Raises AssertionError when a child of this process would inherit something half alive."""
    assert threading.active_count() == 1, f"threads: {threading.enumerate()}"
    tasks = len(os.listdir("/proc/self/task"))
    assert tasks == 1, f"{tasks} threads of the system"
    for number in map(int, os.listdir("/proc/self/fd")):
        with contextlib.suppress(FileNotFoundError, OSError):
            mode = os.fstat(number).st_mode
            assert not stat.S_ISSOCK(mode) or number in allowed, f"socket on descriptor {number}"
    loops = sys.modules.get("asyncio.events")
    assert loops is None or loops._get_running_loop() is None, "a running event loop"


def fork(order: dict[str, Any], sockets: list[int], orders: int) -> int:
    """Fork one component; returns its pid."""
    read, write = os.pipe()
    middle = os.fork()
    if middle == 0:
        child = os.fork()
        if child:
            os.write(write, str(child).encode())
            os._exit(0)
        os.close(read)
        os.close(write)
        os.close(orders)
        _become(order, sockets)
    os.close(write)
    os.waitpid(middle, 0)
    pid = int(os.read(read, 32))
    os.close(read)
    return pid


def _become(order: dict[str, Any], sockets: list[int]) -> None:
    """In the child: take the component's session, log, network, name; run its `main`; never return."""
    status = 1
    try:
        os.setsid()
        log = os.open(order["log"], os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        os.dup2(log, 1)
        os.dup2(log, 2)
        os.close(log)
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGCHLD):
            signal.signal(number, signal.SIG_DFL)
        if order.get("namespace"):
            from workshop.cluster.network import linux

            linux.setns(f"/run/netns/{order['namespace']}", linux.CLONE_NEWNET)
        os.environ.pop(TITLE_ROOM, None)
        os.environ.update(order.get("environment", {}))
        sockets = sockets + [_listen(address) for address in order.get("listen_inside", [])]
        _hand_over(sockets)
        random.seed()
        argv = list(order["argv"])
        sys.argv = argv
        _name(argv)
        swap.install(argv[0])
        status = _run(order["module"], argv[1:])
    except BaseException:  # noqa: BLE001  the last edge of this process: its log is the only place to tell
        traceback.print_exc()
    finally:
        with contextlib.suppress(OSError, ValueError):
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(status)


def _run(package: str, argv: list[str]) -> int:
    main = importlib.import_module(f"{package}.__main__").main
    try:
        result = main(argv)
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else int(end.code is not None)
    return int(result or 0)


def _listen(address: str) -> int:
    host, port = address.rsplit(":", 1)
    sock = socket.create_server((host, int(port)), backlog=128)
    return sock.detach()


def _hand_over(sockets: list[int]) -> None:
    """Put `sockets` on descriptors 3, 4, … as systemd does, and say so in the environment."""
    os.environ.pop("LISTEN_FDS", None)
    os.environ.pop("LISTEN_PID", None)
    if not sockets:
        return
    high = [fcntl.fcntl(number, fcntl.F_DUPFD_CLOEXEC, 64) for number in sockets]
    for number in sockets:
        os.close(number)
    for place, number in enumerate(high, 3):
        os.dup2(number, place, inheritable=False)
        os.close(number)
    os.environ["LISTEN_FDS"], os.environ["LISTEN_PID"] = str(len(high)), str(os.getpid())


def _name(argv: list[str]) -> None:
    """Take the component's name and flags as title, so that `ps aux | grep kube-` finds it."""
    try:
        from setproctitle import setproctitle, setthreadtitle
    except ModuleNotFoundError:
        return
    setproctitle(" ".join(argv))
    setthreadtitle(argv[0][:15])


def main(argv: list[str]) -> int:
    """`python -m workshop.cluster.zygote FD DIRECTORY PACKAGE…`: orders come on the inherited socket FD."""
    orders = socket.socket(fileno=int(argv[0]))
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    _name(["workshop-zygote", argv[1]])
    preload(argv[2:])
    orders.settimeout(REST)
    while True:
        try:
            data, sockets, _, _ = socket.recv_fds(orders, MAX_ORDER, 16)
        except TimeoutError:
            let_go_of_code()
            orders.settimeout(None)
            continue
        if not data:
            return 0
        order = json.loads(data)
        try:
            if order["do"] == "join":
                from workshop.cluster.network import linux

                linux.join(int(order["pid"]))
                answer: dict[str, Any] = {}
            else:
                assert_forkable({orders.fileno(), *sockets})
                answer = {"pid": fork(order, sockets, orders.fileno())}
        except (OSError, AssertionError) as error:
            answer = {"error": str(error) or type(error).__name__}
        for number in sockets:
            os.close(number)
        try:
            orders.send(json.dumps(answer).encode())
        except BrokenPipeError:
            return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
