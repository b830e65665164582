"""Linux system calls that Python 3.11's `os` lacks: unshare, setns, mount, prctl."""

from __future__ import annotations

import ctypes
import os
from pathlib import Path

CLONE_NEWNS = 0x00020000
CLONE_NEWUSER = 0x10000000
CLONE_NEWNET = 0x40000000
MS_REC, MS_SLAVE = 0x4000, 0x80000
PR_SET_CHILD_SUBREAPER = 36

_libc = ctypes.CDLL(None, use_errno=True)


def _check(result: int, what: str) -> None:
    if result != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), what)


def unshare(flags: int) -> None:
    """Leave namespaces that were shared with the parent. Raises OSError (EPERM, ENOSPC)."""
    _check(_libc.unshare(flags), "unshare")


def setns(path: str, kind: int) -> None:
    """Enter the namespace that the file `path` names (`/proc/PID/ns/net`, `/run/netns/NAME`)."""
    handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        _check(_libc.setns(handle, kind), path)
    finally:
        os.close(handle)


def mount(source: str, target: str, kind: str, flags: int = 0, data: str = "") -> None:
    _check(_libc.mount(source.encode(), target.encode(), kind.encode(), ctypes.c_ulong(flags), data.encode()), target)


def prctl(option: int, value: int) -> None:
    _check(_libc.prctl(option, ctypes.c_ulong(value), 0, 0, 0), "prctl")


def enter_new_user_namespace() -> None:
    """Become root of a new user, network and mount namespace: the caller's user is its root, nobody else exists."""
    user, group = os.geteuid(), os.getegid()
    unshare(CLONE_NEWUSER | CLONE_NEWNET | CLONE_NEWNS)
    Path("/proc/self/setgroups").write_text("deny", encoding="ascii")
    Path("/proc/self/uid_map").write_text(f"0 {user} 1", encoding="ascii")
    Path("/proc/self/gid_map").write_text(f"0 {group} 1", encoding="ascii")
    mount("none", "/", "none", MS_REC | MS_SLAVE)
    mount("tmpfs", "/run", "tmpfs", 0, "mode=755")
    os.mkdir("/run/netns")


def join(pid: int) -> None:
    """Enter the user, network and mount namespaces of process `pid`, which the same user owns."""
    base = f"/proc/{pid}/ns"
    if os.stat(f"{base}/user").st_ino != os.stat("/proc/self/ns/user").st_ino:
        setns(f"{base}/user", CLONE_NEWUSER)
    network = os.open(f"{base}/net", os.O_RDONLY | os.O_CLOEXEC)
    try:
        setns(f"{base}/mnt", CLONE_NEWNS)
        _check(_libc.setns(network, CLONE_NEWNET), "net")
    finally:
        os.close(network)
