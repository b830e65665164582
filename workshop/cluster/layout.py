"""Where a cluster's files lie: one 0700 state directory a cluster.

$WORKSHOP_HOME/clusters/NAME/
    cluster.json     the plan: mode, addresses, nodes, components with their flags
    pki/             certificates and keys, 0600
    kubeconfig/      admin.conf, scheduler.conf, kubelet-node-1.conf, …
    etcd/            etcd's data directory; with several masters one for each in it
    logs/NAME.log    one log a component
    run/             the supervisor's socket, the processes it started
    nodes/NODE/      a kubelet's root directory, with cni/ beside it
    swaps/NAME/      learners' functions in the place of a component's own (`up --lab`)
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path

DEFAULT_NAME = "workshop"
SEPARATORS = ":,\n"
_NAME = re.compile(r"[a-z0-9]([a-z0-9-]{0,30}[a-z0-9])?")


class ClusterError(Exception):
    """Something a user can act on: one sentence that says what is wrong and what to do."""


def home() -> Path:
    """`$WORKSHOP_HOME`, else `$XDG_STATE_HOME/workshop`, else `~/.local/state/workshop`."""
    given = os.environ.get("WORKSHOP_HOME")
    if given:
        return Path(given).absolute()
    state = os.environ.get("XDG_STATE_HOME") or os.path.expanduser("~/.local/state")
    return Path(state).absolute() / "workshop"


def check_name(name: str) -> str:
    """`name` itself, when it can be a directory, a DNS label and part of an interface's name."""
    if not _NAME.fullmatch(name):
        raise ClusterError(
            f"{name!r} is no name for a cluster: use lower case letters, digits and '-', 32 characters at most"
        )
    return name


def names() -> list[str]:
    """Clusters that have a state directory, sorted."""
    folder = home() / "clusters"
    return sorted(entry.name for entry in folder.iterdir() if entry.is_dir()) if folder.is_dir() else []


@dataclass(frozen=True)
class Layout:
    """The paths of one cluster."""

    name: str
    root: Path

    @classmethod
    def of(cls, name: str) -> Layout:
        return cls(check_name(name), home() / "clusters" / name)

    @property
    def plan(self) -> Path:
        return self.root / "cluster.json"

    @property
    def pki(self) -> Path:
        return self.root / "pki"

    @property
    def etcd(self) -> Path:
        return self.root / "etcd"

    @property
    def socket(self) -> Path:
        return self.root / "run" / "supervisor.sock"

    @property
    def processes(self) -> Path:
        return self.root / "run" / "processes.json"

    @property
    def user_namespace(self) -> Path:
        """The inode of the user namespace in which the cluster lives."""
        return self.root / "run" / "user-namespace"

    @property
    def admin_conf(self) -> Path:
        return self.kubeconfig("admin")

    def kubeconfig(self, who: str) -> Path:
        return self.root / "kubeconfig" / f"{who}.conf"

    def log(self, component: str) -> Path:
        return self.root / "logs" / f"{component}.log"

    def swaps(self, component: str) -> Path:
        """Learners' functions for one component's process."""
        return self.root / "swaps" / component

    def node(self, node: str) -> Path:
        return self.root / "nodes" / node

    def create(self) -> None:
        """Make the directories, all 0700. Raises ClusterError with one sentence."""
        if odd := sorted(set(str(self.root)) & set(SEPARATORS)):
            raise ClusterError(
                f"{str(self.root)!r} cannot be a state directory: {' '.join(map(repr, odd))} separates paths in "
                "KUBECONFIG, flags and mounts; set WORKSHOP_HOME to another one"
            )
        try:
            home().mkdir(parents=True, exist_ok=True, mode=0o700)
            for part in ("", "pki", "pki/etcd", "kubeconfig", "etcd", "logs", "run", "nodes"):
                folder = self.root / part
                folder.mkdir(parents=True, exist_ok=True, mode=0o700)
                os.chmod(folder, 0o700)
        except PermissionError as error:
            raise ClusterError(
                f"no permission to write {error.filename}: set WORKSHOP_HOME to a directory of yours, or remove it "
                "if another user made it"
            ) from error
        except OSError as error:
            raise ClusterError(explain(error, self.root)) from error


def explain(error: OSError, where: Path) -> str:
    """One sentence for what the file system refused."""
    import errno

    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return f"the disk that holds {where} is full: make room, or set WORKSHOP_HOME to another disk"
    if error.errno in (errno.ENOTDIR, errno.EEXIST):
        return f"{error.filename or where} is a file where a directory is needed: move it away"
    if error.errno == errno.EROFS:
        return f"{where} is on a read-only file system: set WORKSHOP_HOME to a directory that can be written"
    return f"cannot use {error.filename or where}: {error.strerror}"


def write_private(path: Path, data: bytes) -> None:
    """Write `data` to `path`, whole or not at all, readable by its owner alone. Raises ClusterError."""
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        handle = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o600)
        with os.fdopen(handle, "wb") as file:
            file.write(data)
        os.replace(draft, path)
    except OSError as error:
        draft.unlink(missing_ok=True)
        raise ClusterError(explain(error, path.parent)) from error
