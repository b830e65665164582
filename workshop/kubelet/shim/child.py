"""From fork to exec: what a low-level runtime (runc) does for a container.

A spec is a plain dict, in the spirit of OCI's config.json:

    args, env, cwd         what runs; `args[0]` is looked up in the PATH of `env`
    rootfs                 None: the host's files (mode plain). Else {"upper", "work", "merged", …}
    mounts                 [{"source", "destination", "readonly"}], in the order in which they are made
    pid_namespace          True: own; a number: that of this process; False: the shim's
    cgroups                [directories] to enter
    sysctls                {name with dots: value}, of the namespaces that the process is in
    tells                  the program closes the descriptor WORKSHOP_READY once it handles signals
    oom_score_adj, user, group, groups, capabilities (kept ones, None: all), no_new_privs, nofile

Python 3.11 has no `unshare`, `setns` or `mount`, so they are called through the C library.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import fcntl
import os
import resource
import signal
import socket
import termios
from typing import Any

CLONE_NEWNS, CLONE_NEWUTS, CLONE_NEWIPC, CLONE_NEWPID, CLONE_NEWNET = (
    0x20000,
    0x4000000,
    0x8000000,
    0x20000000,
    0x40000000,
)
NAMESPACES = {"net": CLONE_NEWNET, "ipc": CLONE_NEWIPC, "uts": CLONE_NEWUTS}
MS_RDONLY, MS_NOSUID, MS_NODEV, MS_NOEXEC, MS_REMOUNT, MS_BIND, MS_REC, MS_PRIVATE = (
    1,
    2,
    4,
    8,
    32,
    4096,
    16384,
    1 << 18,
)
MS_SLAVE = 1 << 19
MNT_DETACH = 2
PR_CAPBSET_DROP, PR_SET_NO_NEW_PRIVS, PR_SET_CHILD_SUBREAPER = 24, 38, 36
SYS_PIVOT_ROOT = {"x86_64": 155, "aarch64": 41}

# include/uapi/linux/capability.h, in the order of their numbers
CAPABILITIES = (  # noqa: SIM905
    "CHOWN DAC_OVERRIDE DAC_READ_SEARCH FOWNER FSETID KILL SETGID SETUID SETPCAP LINUX_IMMUTABLE NET_BIND_SERVICE "
    "NET_BROADCAST NET_ADMIN NET_RAW IPC_LOCK IPC_OWNER SYS_MODULE SYS_RAWIO SYS_CHROOT SYS_PTRACE SYS_PACCT SYS_ADMIN "
    "SYS_BOOT SYS_NICE SYS_RESOURCE SYS_TIME SYS_TTY_CONFIG MKNOD LEASE AUDIT_WRITE AUDIT_CONTROL SETFCAP MAC_OVERRIDE "
    "MAC_ADMIN SYSLOG WAKE_ALARM BLOCK_SUSPEND AUDIT_READ PERFMON BPF CHECKPOINT_RESTORE"
).split()

_libc = ctypes.CDLL(None, use_errno=True)


def _check(result: int, what: str) -> None:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")


def unshare(flags: int) -> None:
    """Leave namespaces for new ones."""
    _check(_libc.unshare(flags), "unshare")


def setns(fd: int) -> None:
    """Enter the namespace behind an open /proc/PID/ns file."""
    _check(_libc.setns(fd, 0), "setns")


def mount(source: str, target: str, kind: str = "", flags: int = 0, data: str = "") -> None:
    """mount(2)."""
    result = _libc.mount(
        os.fsencode(source), os.fsencode(target), kind.encode() or None, ctypes.c_ulong(flags), data.encode() or None
    )
    _check(result, f"mount {source or kind} at {target}")


def become_subreaper() -> None:
    """Orphans below this process become its children."""
    _check(_libc.prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0), "prctl")


def spawn(spec: dict[str, Any], stdio: tuple[int, int, int] | None, ready: int = -1) -> tuple[int, int]:
    """Start the process of `spec` on three descriptors, or on a terminal when `stdio` is None. Returns its pid and the
    terminal's master side (-1 without one); raises OSError with the step that failed.

    `ready` is the descriptor of a program that tells. The terminal is made by the child, so that it is one of the
    container's own /dev/pts.

    With a pid namespace there are two forks: the first process enters (or makes) the namespace, which holds for its
    children only; the second one is the container. The first ends at once, and the shim as subreaper inherits the
    second.
    """
    ready_read, ready_write = os.pipe()
    console, childs = socket.socketpair()
    first = os.fork()
    if first == 0:
        os.close(ready_read)
        try:
            pid = _enter(spec)
            if pid:
                os.write(ready_write, f"pid {pid}\n".encode())
                os._exit(0)
            _become(spec, stdio, childs, ready)
        except BaseException as problem:  # noqa: BLE001  nothing may escape from a forked child
            number = problem.errno if isinstance(problem, OSError) and problem.errno else 0
            text = problem.strerror if isinstance(problem, OSError) and problem.strerror else str(problem)
            os.write(ready_write, f"error {number} {text}\n".encode(errors="replace"))
        os._exit(127)
    os.close(ready_write)
    childs.close()
    with os.fdopen(ready_read, "rb") as pipe:
        told = pipe.read().decode(errors="replace")
    two_forks = bool(spec.get("pid_namespace")) or bool(spec.get("join"))
    pid = first
    for line in told.splitlines():
        if line.startswith("pid "):
            pid = int(line[4:])
    if two_forks:
        os.waitpid(first, 0)
    for line in told.splitlines():
        if line.startswith("error "):
            with contextlib.suppress(ChildProcessError):
                os.waitpid(pid, 0)
            _, code, text = line.split(" ", 2)
            raise OSError(int(code), text)
    master = -1
    with console:
        if stdio is None:
            master = socket.recv_fds(console, 1, 1)[1][0]
    return pid, master


def _enter(spec: dict[str, Any]) -> int:
    """In the first child. Returns the second child's pid, or 0 in the process that is to become the container."""
    own = spec.get("pid_namespace")
    join = spec.get("join")
    if not own and not join:
        return 0
    if join:
        spaces = [os.open(f"/proc/{join}/ns/{name}", os.O_RDONLY) for name in ("pid", "mnt")]
        for space in spaces:
            setns(space)
    elif own is True:
        unshare(CLONE_NEWPID)
    else:
        setns(os.open(f"/proc/{own}/ns/pid", os.O_RDONLY))
    return os.fork()


def _become(spec: dict[str, Any], stdio: tuple[int, int, int] | None, console: socket.socket, ready: int) -> None:
    os.setsid()
    os.umask(0o022)
    for folder in spec.get("cgroups", ()):
        with open(os.path.join(folder, "cgroup.procs"), "w") as file:
            file.write("0")
    if "oom_score_adj" in spec:
        with contextlib.suppress(OSError), open("/proc/self/oom_score_adj", "w") as file:
            file.write(str(spec["oom_score_adj"]))
    for name, value in spec.get("sysctls", {}).items():
        with open("/proc/sys/" + name.translate(str.maketrans("./", "/.")), "w") as file:
            file.write(value)
    if spec.get("rootfs"):
        _enter_rootfs(spec)
    if stdio is None:
        master, terminal = os.openpty()
        fcntl.ioctl(terminal, termios.TIOCSCTTY, 0)
        socket.send_fds(console, [b"t"], [master])
        stdio = (terminal, terminal, terminal)
    for target, fd in enumerate(stdio):
        os.dup2(fd, target, inheritable=True)
    _limit(spec)
    for number in range(1, signal.NSIG):
        if signal.getsignal(number) in (signal.SIG_IGN,):
            signal.signal(number, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
    env = dict(spec["env"])
    if ready >= 0:
        os.set_inheritable(ready, True)
        env["WORKSHOP_READY"] = str(ready)
    os.chdir(spec.get("cwd") or "/")
    for name in spec["args"][:1]:
        if "/" not in name:
            _exec_in_path(name, spec["args"], env)
    os.execve(spec["args"][0], spec["args"], env)


def _exec_in_path(name: str, args: list[str], env: dict[str, str]) -> None:
    denied = False
    for folder in env.get("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin").split(":"):
        try:
            os.execve(os.path.join(folder or ".", name), args, env)
        except PermissionError:
            denied = True
        except (FileNotFoundError, NotADirectoryError):
            continue
    if denied:
        raise PermissionError(13, f'exec: "{name}": permission denied')
    raise FileNotFoundError(2, f'exec: "{name}": executable file not found in $PATH')


def _enter_rootfs(spec: dict[str, Any]) -> None:
    """A mount namespace whose root is an overlay: the image's files and all that is written, above the host's files."""
    unshare(CLONE_NEWNS)
    mount("", "/", flags=MS_REC | MS_SLAVE)
    root = spec["rootfs"]
    merged = root["merged"]
    for folder in (root["upper"], root["work"], merged):
        os.makedirs(folder, mode=0o755, exist_ok=True)
    try:
        mount("overlay", merged, "overlay", 0, f"lowerdir=/,upperdir={root['upper']},workdir={root['work']}")
    except OSError as problem:
        if problem.errno not in (errno.EINVAL, errno.EPERM):
            raise
        _layer_by_folder(root["upper"], root["work"], merged)
    for source in root.get("bind", ()):
        # other file systems of the host (an overlay does not cross into them), where the interpreter may live
        target = merged + source
        if os.path.isdir(target):
            mount(source, target, flags=MS_BIND)
            _readonly(target)
    for folder in root.get("hide", ()):
        if os.path.isdir(merged + folder):
            mount("tmpfs", merged + folder, "tmpfs", MS_NOSUID | MS_NODEV, "mode=755,size=64k")
    _system_mounts(merged, own_proc=bool(spec.get("pid_namespace")))
    for entry in spec.get("mounts", ()):
        _bind(merged, entry)
    if spec.get("readonly_rootfs"):
        mount("", merged, flags=MS_REMOUNT | MS_BIND | MS_RDONLY)
    old = os.path.join(merged, ".old")
    if not spec.get("readonly_rootfs"):
        os.makedirs(old, exist_ok=True)
    os.chdir(merged)
    # pivot_root(".", "."): the old root is stacked below the new one, and is then taken away
    _check(_libc.syscall(SYS_PIVOT_ROOT[os.uname().machine], b".", b"."), "pivot_root")
    _check(_libc.umount2(b".", MNT_DETACH), "umount2")
    os.chdir("/")
    with contextlib.suppress(OSError):
        os.rmdir("/.old")


def _layer_by_folder(upper: str, work: str, merged: str) -> None:
    """The same root in a user namespace, where the kernel takes no lower layer with mounts of somebody else in it:
    `/` has `/proc` and `/dev` inside, `/usr` mostly has none. So each folder of `/` gets an overlay of its own; one
    that still has such mounts is shown as it is, for reading."""
    mount(upper, merged, flags=MS_BIND)
    for name in sorted(os.listdir("/")):
        source, target = f"/{name}", f"{merged}/{name}"
        if os.path.islink(source):
            if not os.path.lexists(target):
                os.symlink(os.readlink(source), target)
            continue
        if not os.path.isdir(source) or os.path.islink(target):
            continue
        os.makedirs(target, exist_ok=True)
        if name in ("proc", "sys", "dev", "run", "tmp"):
            continue
        for folder in (f"{upper}/{name}", f"{work}/{name}"):
            os.makedirs(folder, exist_ok=True)
        layers = f"lowerdir={source},upperdir={upper}/{name},workdir={work}/{name},userxattr"
        try:
            mount("overlay", target, "overlay", 0, layers)
        except OSError:
            mount(source, target, flags=MS_BIND | MS_REC)
            _readonly(target)


def _readonly(target: str) -> None:
    # a user namespace may not drop flags that the mount had before, so they are kept
    stat = os.statvfs(target)
    keep = (stat.f_flag & os.ST_NOSUID) | (stat.f_flag & os.ST_NODEV) | (stat.f_flag & os.ST_NOEXEC)
    with contextlib.suppress(OSError):
        mount("", target, flags=MS_REMOUNT | MS_BIND | MS_RDONLY | keep)


def _system_mounts(merged: str, *, own_proc: bool) -> None:
    try:
        if not own_proc:
            raise PermissionError
        mount("proc", f"{merged}/proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC)
    except OSError:
        mount("/proc", f"{merged}/proc", flags=MS_BIND | MS_REC)
    mount("tmpfs", f"{merged}/dev", "tmpfs", MS_NOSUID, "mode=755,size=64k")
    for name in ("null", "zero", "full", "random", "urandom", "tty"):
        if os.path.exists(f"/dev/{name}"):
            os.close(os.open(f"{merged}/dev/{name}", os.O_CREAT | os.O_WRONLY, 0o666))
            mount(f"/dev/{name}", f"{merged}/dev/{name}", flags=MS_BIND)
    for name, kind, data in (
        ("pts", "devpts", "newinstance,ptmxmode=0666,mode=0620"),
        ("shm", "tmpfs", "mode=1777,size=64m"),
        ("mqueue", "mqueue", ""),
    ):
        os.mkdir(f"{merged}/dev/{name}")
        with contextlib.suppress(OSError):
            mount(kind, f"{merged}/dev/{name}", kind, MS_NOSUID | MS_NOEXEC | (MS_NODEV if name == "shm" else 0), data)
    os.symlink("pts/ptmx", f"{merged}/dev/ptmx")
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        os.symlink(f"/proc/self/fd/{number}", f"{merged}/dev/{name}")
    os.symlink("/proc/self/fd", f"{merged}/dev/fd")
    with contextlib.suppress(OSError):
        mount("/sys", f"{merged}/sys", flags=MS_BIND | MS_REC)
        _readonly(f"{merged}/sys")
    for name in ("tmp", "run"):
        if os.path.isdir(f"{merged}/{name}"):
            mount(
                "tmpfs", f"{merged}/{name}", "tmpfs", MS_NOSUID | MS_NODEV, "mode=1777" if name == "tmp" else "mode=755"
            )
    for name in ("run/lock",):
        os.makedirs(f"{merged}/{name}", mode=0o1777, exist_ok=True)


def _bind(merged: str, entry: dict[str, Any]) -> None:
    target = _inside(merged, entry["destination"])
    if os.path.isdir(entry["source"]):
        os.makedirs(target, mode=0o755, exist_ok=True)
    elif not os.path.exists(target):
        os.makedirs(os.path.dirname(target), mode=0o755, exist_ok=True)
        os.close(os.open(target, os.O_CREAT | os.O_WRONLY, 0o644))
    mount(entry["source"], target, flags=MS_BIND | MS_REC)
    if entry.get("readonly"):
        _readonly(target)


def _inside(root: str, path: str) -> str:
    """`path` below `root`, with every symbolic link on the way read as if `root` were `/`."""
    done: list[str] = []
    todo = [part for part in path.split("/") if part not in ("", ".")][::-1]
    hops = 0
    while todo:
        part = todo.pop()
        if part == "..":
            done = done[:-1]
            continue
        here = os.path.join(root, *done, part)
        if os.path.islink(here):
            hops += 1
            if hops > 40:
                raise OSError(40, f"too many symbolic links in {path}")
            link = os.readlink(here)
            if link.startswith("/"):
                done = []
            todo.extend([piece for piece in link.split("/") if piece not in ("", ".")][::-1])
        else:
            done.append(part)
    return os.path.join(root, *done)


def _limit(spec: dict[str, Any]) -> None:
    if spec.get("nofile"):
        with contextlib.suppress(ValueError, OSError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (spec["nofile"], spec["nofile"]))
    kept = spec.get("capabilities")
    if kept is not None and os.geteuid() == 0:
        for number, name in enumerate(CAPABILITIES):
            if name not in kept:
                _libc.prctl(PR_CAPBSET_DROP, number, 0, 0, 0)
    if os.geteuid() == 0:
        with contextlib.suppress(PermissionError):  # a user namespace with one mapping has no groups to set
            os.setgroups(spec.get("groups", []))
        if spec.get("group") is not None:
            os.setresgid(spec["group"], spec["group"], spec["group"])
        if spec.get("user") is not None:
            os.setresuid(spec["user"], spec["user"], spec["user"])
    if spec.get("no_new_privs"):
        _check(_libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), "prctl")
