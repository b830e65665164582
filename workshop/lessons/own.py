"""A learner's own program as a process of its own: `ps` finds it by its name, `kill -9` hurts it, a new kernel too.

    python -m workshop.lessons.own DIRECTORY NAME

The source lies in the cluster's state directory (`own/NAME.py`, 0600); its last function is called with what it names
as parameters: `core` and `apps` (CoreV1Api and AppsV1Api of the official client), `client` (the ApiClient), `http`
(a `Wire`).
"""

from __future__ import annotations

import contextlib
import inspect
import json
import linecache
import os
import re
import signal
import subprocess
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

from workshop import swap
from workshop.cluster import procfs, swapping
from workshop.cluster.facade import Cluster
from workshop.cluster.layout import ClusterError, write_private

from .wire import Wire

PATIENCE = 30.0
_started: dict[int, subprocess.Popen[bytes]] = {}
"""Those whose exit status this process has to take some day."""


def folder(cluster: Cluster) -> Path:
    return cluster.layout.root / "own"


def start(cluster: Cluster, name: str, program: Callable[..., Any] | str) -> int:
    """Run it (in the place of an earlier one of that name); returns its pid once it is about to begin."""
    if not re.fullmatch(r"[a-z][a-z0-9-]{0,40}", name):
        raise ClusterError(f"{name!r} is no name for a program: use lower case letters, digits and '-'")
    source = program if isinstance(program, str) else swapping.gather(program)
    if not swap.name_of(source):
        raise ClusterError("there is no function in it: give a function, or source text with a `def`")
    cluster.kubeconfig()
    stop(cluster, name)
    folder(cluster).mkdir(mode=0o700, exist_ok=True)
    write_private(folder(cluster) / f"{name}.py", source.encode())
    read, write = os.pipe()
    path = os.pathsep.join(part for part in sys.path if part)
    environment = {**os.environ, "PYTHONPATH": path, "WORKSHOP_STATE": str(cluster.layout.root), "READY": str(write)}
    log = os.open(cluster.layout.log(name), os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    child = subprocess.Popen(
        [sys.executable, "-m", "workshop.lessons.own", str(cluster.layout.root), name],
        stdin=subprocess.DEVNULL,
        stdout=log,
        stderr=log,
        env=environment,
        pass_fds=[write],
        start_new_session=True,
    )
    os.close(log)
    os.close(write)
    _started[child.pid] = child
    with os.fdopen(read, "rb") as ready:
        begun = ready.read(2) == b"ok"
    found = procfs.stat(child.pid)
    if not begun or found is None:
        child.wait()
        raise ClusterError(f"{name} ended at once:\n{said(cluster, name)}")
    write_private(folder(cluster) / f"{name}.json", json.dumps({"pid": child.pid, "start": found.start}).encode())
    return child.pid


def launch(cluster: Cluster, name: str, argv: list[str]) -> int:
    """Run a program of ours (a second API server, say) beside the cluster, under the same doors; its pid."""
    stop(cluster, name)
    folder(cluster).mkdir(mode=0o700, exist_ok=True)
    path = os.pathsep.join(part for part in sys.path if part)
    environment = {
        **os.environ,
        "PYTHONPATH": path,
        "WORKSHOP_STATE": str(cluster.layout.root),
        "WORKSHOP_COMPONENT": name,
    }
    with cluster.layout.log(name).open("wb") as log:
        child = subprocess.Popen(
            argv, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=environment, start_new_session=True
        )
    _started[child.pid] = child
    found = procfs.stat(child.pid)
    if found is None:
        raise ClusterError(f"{name} ended at once:\n{said(cluster, name)}")
    write_private(folder(cluster) / f"{name}.py", b"")
    write_private(folder(cluster) / f"{name}.json", json.dumps({"pid": child.pid, "start": found.start}).encode())
    return child.pid


def _known(cluster: Cluster, name: str) -> int | None:
    """Its pid while it lives."""
    for child in list(_started.values()):
        if child.poll() is not None:
            _started.pop(child.pid, None)
    try:
        seen = json.loads((folder(cluster) / f"{name}.json").read_text(encoding="utf-8"))
        return int(seen["pid"]) if procfs.alive(int(seen["pid"]), int(seen["start"])) else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def living(cluster: Cluster) -> list[str]:
    """Names of the learner's programs that run now."""
    return sorted(path.stem for path in folder(cluster).glob("*.json") if _known(cluster, path.stem))


def known(cluster: Cluster, name: str) -> bool:
    return (folder(cluster) / f"{name}.py").exists()


def stop(cluster: Cluster, name: str, number: signal.Signals = signal.SIGTERM) -> bool:
    """End it and wait until it has ended; False when it did not run."""
    pid = _known(cluster, name)
    if pid is None:
        return False
    with contextlib.suppress(ProcessLookupError):
        handle = os.pidfd_open(pid)
        try:
            signal.pidfd_send_signal(handle, number)
            if not _ended(handle, 5.0):
                signal.pidfd_send_signal(handle, signal.SIGKILL)
                _ended(handle, 5.0)
        finally:
            os.close(handle)
    _known(cluster, name)
    return True


def _ended(handle: int, seconds: float) -> bool:
    import select

    return bool(select.select([handle], [], [], seconds)[0])


def said(cluster: Cluster, name: str, lines: int = 15) -> str:
    """The end of what it printed."""
    try:
        text = cluster.layout.log(name).read_text(encoding="utf-8", errors="replace")
    except OSError:
        return "(nothing)"
    return "\n".join(text.splitlines()[-lines:]) or "(nothing)"


def main(argv: list[str]) -> int:
    root, name = Path(argv[0]), argv[1]
    path = root / "own" / f"{name}.py"
    source = path.read_text(encoding="utf-8")
    linecache.cache[str(path)] = (len(source), None, source.splitlines(keepends=True), str(path))
    names: dict[str, Any] = {"__name__": name}
    with contextlib.suppress(ModuleNotFoundError):
        from setproctitle import setproctitle

        setproctitle(name)
    try:
        exec(compile(source, str(path), "exec"), names)
        program = names[swap.name_of(source)]
        given = _given(root, list(inspect.signature(program).parameters))
        ready = int(os.environ["READY"])
        os.write(ready, b"ok")
        os.close(ready)
        program(**given)
    except Exception as error:  # noqa: BLE001  its log is where the learner looks
        print(swap.told(error, str(path)) if error.__traceback__ else traceback.format_exc(), file=sys.stderr)
        return 1
    return 0


def _given(root: Path, parameters: list[str]) -> dict[str, Any]:
    import kubernetes

    client = kubernetes.config.new_client_from_config(str(root / "kubeconfig" / "admin.conf"))
    client.user_agent = "my-controller/workshop"
    known = {
        "core": kubernetes.client.CoreV1Api,
        "apps": kubernetes.client.AppsV1Api,
        "client": lambda made: made,
        "http": lambda made: Wire(root),
    }
    unknown = [name for name in parameters if name not in known]
    if unknown:
        raise TypeError(f"nobody knows what to give for {unknown[0]!r}: use {', '.join(known)}")
    return {name: known[name](client) for name in parameters}


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
