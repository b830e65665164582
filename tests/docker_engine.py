"""A Docker Engine of the tests' own: Debian's dockerd on its own socket, data, bridge and with bounded resources.

`python -m tests.docker_engine` says whether it can run here. Everything of it lies in one temporary directory, and
the engine is refused a container that outlives it: `stop` removes containers, processes, mounts and the bridge.
"""

from __future__ import annotations

import contextlib
import io
import os
import select
import shutil
import socket
import subprocess
import tarfile
import tempfile
import time
from pathlib import Path

import docker
import pytest

PAUSE = "registry.k8s.io/pause:3.10.2"
BUSYBOX = "busybox:1.35"
PAUSE_SCRIPT = b"#!/bin/sh\ntrap 'exit 0' TERM INT\nwhile :; do sleep 3600 & wait $!; done\n"


def missing() -> str:
    """What is missing for an engine, or ""."""
    if os.geteuid() != 0:
        return "dockerd needs root"
    for program in ("dockerd", "containerd", "runc"):
        if shutil.which(program, path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin") is None:
            return f"{program} is not installed (Debian: docker.io)"
    return ""


class Engine:
    """One dockerd. `client` is the low-level client of the `docker` package."""

    def __init__(self, number: int = 0) -> None:
        self.root = Path(tempfile.mkdtemp(prefix="wsdock-"))
        self.url = f"unix://{self.root}/d.sock"
        # the bridge's name is ours alone on this machine: its number is the process's
        self.bridge = f"wd{os.getpid() % 10_000_000}"
        self.subnet = f"10.{200 + number}.{os.getpid() % 250}"
        self.process: subprocess.Popen[bytes] | None = None
        self.client: docker.APIClient | None = None

    def start(self) -> None:
        for words in (f"link add {self.bridge} type bridge", f"addr add {self.subnet}.1/24 dev {self.bridge}",
                      f"link set {self.bridge} up"):  # fmt: skip
            subprocess.run(["ip", *words.split()], check=True)
        log = open(self.root / "log", "wb")  # noqa: SIM115  dockerd holds it
        argv = ["dockerd", "--data-root", f"{self.root}/data", "--exec-root", f"{self.root}/exec"]
        argv += ["--pidfile", f"{self.root}/pid", "-H", self.url, "--bridge", self.bridge, "--iptables=false"]
        argv += ["--default-address-pool", f"base={self.subnet.rsplit('.', 1)[0]}.252.0/22,size=26"]
        argv += ["--ip-masq=false", "--ip-forward=false", "--log-level=warn", "--cgroup-parent", f"/{self.root.name}"]
        for controller, file, most in (("memory", "memory.limit_in_bytes", 2 << 30), ("pids", "pids.max", 1024)):
            group = Path("/sys/fs/cgroup", controller, self.root.name)
            if os.access(group.parent, os.W_OK):
                group.mkdir()
                (group / file).write_text(str(most))
        argv += ["--shutdown-timeout", "2", "--max-concurrent-downloads", "1"]
        env = {**os.environ, "PATH": os.environ.get("PATH", "") + ":/usr/sbin:/sbin"}
        self.process = subprocess.Popen(argv, stdout=log, stderr=log, env=env)
        log.close()
        deadline = time.monotonic() + 120
        while True:
            with contextlib.suppress(OSError, docker.errors.DockerException), socket.socket(socket.AF_UNIX) as probe:
                probe.connect(f"{self.root}/d.sock")
                self.client = docker.APIClient(base_url=self.url, version="auto", timeout=60)
                return
            if self.process.poll() is not None or time.monotonic() > deadline:
                raise AssertionError((self.root / "log").read_text()[-2000:])
            time.sleep(0.05)  # dockerd tells nobody that it listens

    def busybox(self) -> None:
        """`busybox:1.35` and the pause image, both out of Debian's busybox-static; nothing is pulled."""
        program = shutil.which("busybox")
        assert program, "busybox-static is not installed"
        layer = io.BytesIO()
        with tarfile.open(fileobj=layer, mode="w") as tar:
            for folder in ("bin", "etc", "tmp", "proc", "sys", "dev", "root"):
                entry = tarfile.TarInfo(folder)
                entry.type, entry.mode = tarfile.DIRTYPE, 0o755
                tar.addfile(entry)
            tar.add(os.path.realpath(program), "bin/busybox")
            listed = subprocess.run([program, "--list"], capture_output=True, text=True, check=True).stdout.split()
            for applet in listed:
                if applet != "busybox":
                    link = tarfile.TarInfo(f"bin/{applet}")
                    link.type, link.linkname = tarfile.SYMTYPE, "busybox"
                    tar.addfile(link)
            for path, content, mode in (
                ("pause", PAUSE_SCRIPT, 0o755),
                ("etc/passwd", b"root:x:0:0::/root:/bin/sh\n", 0o644),
            ):
                entry = tarfile.TarInfo(path)
                entry.size, entry.mode = len(content), mode
                tar.addfile(entry, io.BytesIO(content))
        for name, changes in ((BUSYBOX, ['CMD ["sh"]']), (PAUSE, ['ENTRYPOINT ["/pause"]'])):
            repository, _, tag = name.rpartition(":")
            self.client.import_image_from_data(layer.getvalue(), repository=repository, tag=tag, changes=changes)

    def stop(self) -> None:
        """Ends everything and proves it: no container, process, mount or link of the engine is left."""
        try:
            if self.client is not None:
                for entry in self.client.containers(all=True):
                    self.client.remove_container(entry["Id"], v=True, force=True)
                self.client.close()
        finally:
            if self.process is not None:
                handle = os.pidfd_open(self.process.pid)
                self.process.terminate()
                select.select([handle], [], [], 60)
                os.close(handle)
                self.process.kill()
                self.process.wait()
            for line in reversed(Path("/proc/self/mountinfo").read_text().splitlines()):
                if line.split()[4].startswith(f"{self.root}/"):
                    subprocess.run(["umount", "--lazy", line.split()[4]], check=False)
            subprocess.run(["ip", "link", "delete", self.bridge], check=False)
            for group in Path("/sys/fs/cgroup").glob(f"*/{self.root.name}"):
                group.rmdir()
            shutil.rmtree(self.root)


@pytest.fixture(scope="session")
def engine():
    """One engine for a test run, with its two images."""
    problem = missing()
    if problem:
        pytest.skip(problem)
    made = Engine()
    try:
        made.start()
        made.busybox()
        yield made
    finally:
        made.stop()
