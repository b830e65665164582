"""The Docker Engine as a whole: reaching it, its refusals, and what may be done from outside a pod."""

from __future__ import annotations

import contextlib
import ctypes
import os
import socket
from pathlib import Path
from typing import Any

import docker
import docker.errors
import requests.exceptions

from workshop.kubelet.cri import CriError, NotFound, PodSandboxStatus
from workshop.kubelet.runtimes import docker_objects as objects
from workshop.kubelet.runtimes import docker_streams as streams

DEFAULT_ENDPOINT = "unix:///var/run/docker.sock"
CALL_TIMEOUT = 60
FAILURES = (docker.errors.DockerException, requests.exceptions.RequestException, OSError)
"""What the `docker` package raises."""


def endpoint_of(runtime_endpoint: str) -> str:
    """`docker:` is DOCKER_HOST or the usual socket; `docker:unix:///run/other.sock` names one."""
    return runtime_endpoint.partition(":")[2] or os.environ.get("DOCKER_HOST", "") or DEFAULT_ENDPOINT


def refusal(url: str, problem: Exception) -> CriError:
    """An error of the `docker` package in the engine's words."""
    if isinstance(problem, docker.errors.NotFound):
        return NotFound(f"Error response from daemon: {problem.explanation}")
    if isinstance(problem, docker.errors.APIError):
        return CriError(f"Error response from daemon: {problem.explanation or problem}")
    if isinstance(problem, requests.exceptions.ReadTimeout):
        return CriError(f"operation timeout: the Docker daemon at {url} did not answer in {CALL_TIMEOUT} s")
    return streams.unreachable(url)


def connect(url: str, timeout: float = CALL_TIMEOUT) -> tuple[Any, str]:
    """A client that speaks the engine's version of the API, and the engine's own version. Raises the package's errors.

    (`version="auto"` of the package does the same, and leaves sockets open when nobody answers.)
    """
    scheme, _, path = url.partition("://")
    if scheme == "unix":
        with socket.socket(socket.AF_UNIX) as probe:
            probe.connect(path)
    first = docker.APIClient(base_url=url, version="1.41", timeout=timeout)
    try:
        told = first.version(api_version=False)
    finally:
        first.close()
    return docker.APIClient(base_url=url, version=told["ApiVersion"], timeout=timeout), told["Version"]


def may_lower_oom() -> bool:
    """Whether this machine (or the container that we are in) has CAP_SYS_RESOURCE to give; the engine has no more."""
    try:
        status = Path("/proc/self/status").read_text()
    except OSError:
        return True
    bounding = next((line.split()[1] for line in status.splitlines() if line.startswith("CapBnd:")), "0")
    return bool(int(bounding, 16) >> 24 & 1)


def reference(image: str) -> tuple[str, str | None]:
    """(name, tag) for a pull; a digest stays with its name.

    >>> reference("nginx"), reference("localhost:5000/a/b:1")
    (('nginx', 'latest'), ('localhost:5000/a/b', '1'))
    """
    if "@" in image:
        return image, None
    head, colon, tag = image.rpartition(":")
    return (head, tag) if colon and "/" not in tag else (image, "latest")


def is_here(sandbox: PodSandboxStatus) -> bool:
    """Whether its process is one of this machine's that we see: the engine may count pids in another namespace."""
    try:
        return bool(sandbox.pid) and sandbox.id in Path(f"/proc/{sandbox.pid}/cgroup").read_text()
    except OSError:
        return False


def dial_inside(pid: int, port: int) -> socket.socket:
    """A connection to 127.0.0.1:`port` in the network namespace of `pid`. Only this thread enters it, and ends there.

    Raises OSError. A socket stays in the namespace it was made in, so the loop can use it after that.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    own = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    other = os.open(f"/proc/{pid}/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    try:
        if libc.setns(other, 0) != 0:
            raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
        made = socket.socket()
        try:
            made.settimeout(5)
            made.connect(("127.0.0.1", port))
            made.setblocking(False)
        except OSError:
            made.close()
            raise
        finally:
            if libc.setns(own, 0) != 0:
                raise OSError(ctypes.get_errno(), "could not leave the pod's network namespace")
    finally:
        os.close(own)
        os.close(other)
    return made


def clean(url: str, directory: str) -> list[str]:
    """Remove from the engine all that kubelets below `directory` made; names of what was removed. For `down`.

    Raises CriError when the engine does not answer.
    """
    try:
        engine, _ = connect(url)
        try:
            found = [
                entry
                for entry in engine.containers(all=True, filters={"label": [objects.OWNER]})
                if entry["Labels"][objects.OWNER].startswith(f"{directory.rstrip('/')}/")
            ]
            # the sandboxes last: others live in their namespaces
            found.sort(key=lambda entry: bool(entry["Labels"].get(objects.TYPE) == objects.SANDBOX))
            for entry in found:
                with contextlib.suppress(docker.errors.NotFound):
                    engine.remove_container(entry["Id"], v=True, force=True)
        finally:
            engine.close()
    except FAILURES as problem:
        raise refusal(url, problem) from None
    return [entry["Names"][0].removeprefix("/") for entry in found]


def usable(url: str) -> tuple[bool, str]:
    """Whether an engine answers at `url`, and a sentence about it. For `doctor`."""
    try:
        engine, version = connect(url, 5)
        engine.close()
    except FAILURES as problem:
        detail = str(problem)
        hint = "; your user may not open the socket (group docker)" if "ermission denied" in detail else ""
        return False, f"{refusal(url, problem)}{hint}"
    return True, f"Docker Engine {version} at {url}: `workshop up --runtime docker` runs pods on it"
