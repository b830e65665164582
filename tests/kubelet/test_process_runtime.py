"""The process runtime on real shims: in mode plain as anybody, and in namespaces as root."""

from __future__ import annotations

import asyncio
import json
import os
import select
import shutil
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from workshop.clock import SYSTEM
from workshop.kubelet import cri
from workshop.kubelet.runtimes import cgroups, shims
from workshop.kubelet.runtimes.process import ProcessRuntime
from workshop.kubelet.server import logs
from workshop.kubelet.server.logs import Options
from workshop.kubelet.shim.containers import Process
from workshop.kubelet.shim.loop import Loop

ADDRESS = "127.91.254.11"


async def _always() -> bool:
    return True


def end_all(root_dir: str) -> None:
    """Kill every shim and container below a kubelet's root directory."""
    for folder in sorted(Path(root_dir, "run").glob("*")):
        pid = shims.alive(str(folder))
        if pid:
            os.kill(pid, signal.SIGSTOP)  # so that it restarts, reaps and reports nothing
        shims.kill_leftovers(str(folder))
        if pid:
            os.kill(pid, signal.SIGKILL)
    cgroups.remove_all(root_dir)


class Node:
    """A runtime with one pod in a directory of its own."""

    def __init__(self, root: str) -> None:
        self.root = root
        self.runtime = self.new_runtime()
        self.config = cri.PodSandboxConfig("web", "u1", "default", hostname="web", log_directory=f"{root}/log")
        self.sandbox = ""

    def new_runtime(self) -> ProcessRuntime:
        return ProcessRuntime(self.root, f"{self.root}/cni", ADDRESS)

    async def start(self) -> None:
        await self.runtime.start()
        await self.runtime.set_pod_cidr("127.91.1.0/24")
        self.sandbox = await self.runtime.run_pod_sandbox(self.config)

    async def run(self, name: str, image: str, *command: str, **more: object) -> str:
        config = cri.ContainerConfig(name, 0, image, command, log_path=f"{name}/0.log", **more)
        identity = await self.runtime.create_container(self.sandbox, config, self.config)
        await self.runtime.start_container(identity)
        return identity

    async def ended(self, identity: str) -> cri.ContainerStatus:
        async with asyncio.timeout(60):
            async for _ in self.runtime.events():
                status = await self.runtime.container_status(identity)
                if status.state == cri.EXITED:
                    return status
        raise AssertionError

    async def again(self) -> None:
        """kubelet is killed and comes back: nothing of the old runtime is told."""
        await self.runtime.close()
        children = self.runtime._children
        self.runtime = self.new_runtime()
        self.runtime._children = children  # the test process is still their parent
        await self.runtime.start()
        await self.runtime.set_pod_cidr("127.91.1.0/24")

    async def said(self, name: str) -> bytes:
        """Wait for the first output."""
        path = f"{self.root}/log/{name}/0.log"
        async with asyncio.timeout(60):
            async for piece in logs.read(path, Options(follow=True), _always, SYSTEM):
                return piece
        raise AssertionError

    def log(self, name: str) -> list[str]:
        return [line.split(" ", 3)[3] for line in Path(self.root, "log", name, "0.log").read_text().splitlines()]


@pytest.fixture
async def node():
    root = tempfile.mkdtemp(prefix="kubelet-test-")
    os.mkdir(f"{root}/cni")
    Path(f"{root}/cni/10.conf").write_text('{"name": "test", "type": "loopback"}')
    made = Node(root)
    try:
        await made.start()
        yield made
        await made.runtime.remove_pod_sandbox(made.sandbox)
        assert os.listdir(f"{root}/run") == []
    finally:
        await made.runtime.close()
        end_all(root)
        for child in made.runtime._children.values():
            child.wait()
        shutil.rmtree(root)


async def test_exit_code_and_output(node):
    identity = await node.run("c", "busybox", "sh", "-c", "echo out; echo err >&2; exit 7")
    status = await node.ended(identity)
    assert (status.exit_code, status.reason) == (7, "Error")
    assert sorted(node.log("c")) == ["err", "out"]


async def test_the_environment_names_the_pod(node):
    script = 'echo "$A $HOSTNAME $WORKSHOP_POD_IP"; printenv data-1; test "$PWD" = "$WORKSHOP_ROOTFS"'
    identity = await node.run("c", "busybox", "sh", "-c", script, env=(("A", "1"), ("data-1", "any name")))
    assert (await node.ended(identity)).exit_code == 0
    assert node.log("c") == ["1 web 127.91.1.2", "any name"]


async def test_an_image_as_a_volume(node):
    there = cri.Mount("/data", "", readonly=True, image="nautilus:1.8")
    below = cri.Mount("/only", "", readonly=True, image="nautilus", sub_path="data.json")
    script = 'cat "$WORKSHOP_ROOTFS/data/data.json" "$WORKSHOP_ROOTFS/only"'
    identity = await node.run("c", "busybox", "sh", "-c", script, mounts=(there, below))
    assert (await node.ended(identity)).exit_code == 0
    assert node.log("c").count('  "image": "nautilus.jpg"') == 2
    with pytest.raises(cri.CriError, match="does not exist in image"):
        outside = cri.Mount("/x", "", readonly=True, image="nautilus", sub_path="../pulled.json")
        await node.run("d", "busybox", "true", mounts=(outside,))


async def test_a_manifest_value_is_never_read_by_a_shell_of_ours(node):
    identity = await node.run("c", "busybox", "echo", "$(id) `id` ; id | cat")
    await node.ended(identity)
    assert node.log("c") == ["$(id) `id` ; id | cat"]


@pytest.mark.parametrize("path", ["/a/../../x", "relative", "/nul\0"])
async def test_mount_paths_that_lead_out_are_refused(node, path):
    with pytest.raises(cri.CriError):
        await node.run("c", "busybox", "true", mounts=(cri.Mount(path, node.root),))


async def test_a_new_kubelet_finds_what_runs_and_what_ended_meanwhile(node):
    lasting = await node.run("a", "busybox", "sh", "-c", "echo up; exec sleep 1000")
    gate = f"{node.root}/gate"
    os.mkfifo(gate)
    ending = await node.run("b", "busybox", "sh", "-c", f"read x < {gate}; echo last line; exit 5")
    await node.runtime.close()  # kubelet is dead from here on
    follower = await shims.connect(node.runtime.directory(node.sandbox))
    reader, writer = await asyncio.open_unix_connection(sock=follower)
    writer.write(b'{"verb": "subscribe"}\n')
    await reader.readline()
    Path(gate).write_text("go\n")
    told = json.loads(await asyncio.wait_for(reader.readline(), 60))
    writer.close()
    assert told["id"] == ending and told["exit"]["exit_code"] == 5
    await node.again()
    assert (await node.runtime.container_status(lasting)).state == cri.RUNNING
    found = await node.runtime.container_status(ending)
    assert (found.state, found.exit_code) == (cri.EXITED, 5)
    assert node.log("b") == ["last line"]


async def test_the_exit_code_is_on_disk_before_it_is_told(node):
    identity = await node.run("c", "busybox", "sh", "-c", "exit 9")
    await node.ended(identity)
    folder = node.runtime.folder(await node.runtime.container_status(identity))
    assert json.loads(Path(folder, "exit.json").read_text())["exit_code"] == 9


async def test_a_killed_shim_takes_its_containers_along(node):
    identity = await node.run("c", "busybox", "sleep", "1000")
    pid = (await node.runtime.container_status(identity)).pid
    end = os.pidfd_open(pid)
    os.kill(shims.alive(node.runtime.directory(node.sandbox)), signal.SIGKILL)
    status = await node.ended(identity)
    assert status.exit_code == 137
    assert (await node.runtime.pod_sandbox_status(node.sandbox)).state == cri.NOT_READY
    assert select.select([end], [], [], 60)[0] == [end]
    os.close(end)


async def test_stop_is_gentle_then_not(node):
    polite = await node.run(
        "a", "busybox", "sh", "-c", "trap 'echo bye; exit 0' TERM; echo up; while :; do sleep 0.05; done"
    )
    deaf = await node.run("b", "busybox", "sh", "-c", "trap '' TERM; echo up; while :; do sleep 0.05; done")
    assert await node.said("a") == await node.said("b") == b"up\n"
    await asyncio.gather(node.runtime.stop_container(polite, 60), node.runtime.stop_container(deaf, 0.3))
    assert (await node.runtime.container_status(polite)).exit_code == 0
    assert (await node.runtime.container_status(deaf)).exit_code == 137
    assert node.log("a") == ["up", "bye"]


def test_a_signal_that_comes_before_its_handler_is_there_is_held(tmp_path):
    program = (
        "import os, signal, sys\n"
        "signal.signal(signal.SIGTERM, lambda *_: sys.exit(7))\n"
        "os.close(int(os.environ['WORKSHOP_READY']))\n"
        "signal.pause()\n"
    )
    loop, ended = Loop(), []
    spec = {"args": [sys.executable, "-c", program], "env": dict(os.environ), "cwd": str(tmp_path), "tells": True}
    process = Process(loop, spec, None, ended.append)
    process.start()
    process.signal(signal.SIGTERM)  # by default it would be fatal, or for a first process without effect
    process.when_ready(lambda: setattr(loop, "stopped", True))
    loop.run()
    assert os.waitstatus_to_exitcode(os.waitpid(process.pid, 0)[1]) == 7


async def test_a_stand_in_has_started_when_it_listens(node):
    identity = await node.run("web", "nginx")
    assert b"listening" in await node.said("web")
    await node.runtime.stop_container(identity, 30)
    assert (await node.runtime.container_status(identity)).exit_code == 0
    assert "gracefully shutting down" in node.log("web")[-1]


async def test_exec_with_input_output_and_exit_code(node):
    identity = await node.run("c", "busybox", "sleep", "1000")
    done = await node.runtime.exec_sync(identity, ["sh", "-c", "echo out; echo err >&2; exit 3"], 60)
    assert done == cri.ExecResult(b"out\n", b"err\n", 3)
    with pytest.raises(cri.CriError, match=r'exec: "nosuch": executable file not found in \$PATH'):
        await node.runtime.exec_sync(identity, ["nosuch"], 60)
    with pytest.raises(cri.CriError, match="timed out"):
        await node.runtime.exec_sync(identity, ["sleep", "1000"], 0.2)
    stream = await node.runtime.exec(identity, ["cat"], stdin=True, tty=False)

    async def feed():
        for _ in range(40):
            await stream.write(b"x" * 50_000)
        await stream.close_stdin()

    feeding = asyncio.create_task(feed())
    size = 0
    while (piece := await stream.read()) is not None:
        size += len(piece[1])
    await feeding
    assert (size, await stream.exit_code()) == (2_000_000, 0)
    await stream.close()


async def test_a_terminal(node):
    identity = await node.run("c", "busybox", "sleep", "1000")
    stream = await node.runtime.exec(identity, ["sh"], stdin=True, tty=True)
    await stream.resize(90, 20)
    await stream.write(b"stty size; exit 5\n")
    shown = b""
    while (piece := await stream.read()) is not None:
        shown += piece[1]
    assert b"20 90" in shown and await stream.exit_code() == 5
    await stream.close()


async def test_what_is_sent_to_a_command_that_has_ended_costs_none_of_its_output(node):
    """A client tells its terminal's size, and types, while the command ends: a socket that is closed over that would
    lose the output and the exit code that the kubelet has not read yet."""
    identity = await node.run("c", "busybox", "sleep", "1000")
    status = await node.runtime.container_status(identity)
    _, command = node.runtime._streams._exec_spec(identity, ["sh", "-c", "echo said; exit 5"], stdin=True, tty=False)
    loop = asyncio.get_running_loop()
    with await shims.connect(node.runtime.directory(status.sandbox_id)) as sock:
        await loop.sock_sendall(sock, json.dumps({"verb": "exec", "spec": command}).encode() + b"\n")
        said = b""
        async with asyncio.timeout(60):
            while piece := await loop.sock_recv(sock, 65536):
                said += piece
        assert b"said\n" in said and b'"exit_code": 5' in said
        await loop.sock_sendall(sock, b"\4\0\0\0\2{}" + b"\0\0\0\0\4late")  # raises where the shim has closed
    assert (await node.runtime.exec_sync(identity, ["true"], 60)).exit_code == 0, "the shim lives"


def test_a_callback_of_a_descriptor_that_was_closed_meanwhile_is_not_called():
    """Both are readable at once; the first to be called closes the other, whose number somebody else gets."""
    loop, called = Loop(), []
    pipes = [os.pipe() for _ in range(2)]
    held = []

    def readable(number):
        called.append(number)
        (other,) = (read for read, _ in pipes if read != number)
        loop.watch(number)
        loop.watch(other)
        os.close(other)
        fresh, end = os.pipe()
        held.extend((fresh, end, number))
        assert fresh == other
        loop.watch(fresh, read=lambda: called.append("fresh"))
        loop.stopped = True

    for read, write in pipes:
        loop.watch(read, read=lambda read=read: readable(read))
        os.write(write, b"x")
    loop.run()
    for fd in (*held, *(write for _, write in pipes)):
        os.close(fd)
    assert len(called) == 1, called


async def test_attach_sees_what_comes_and_sends_input(node):
    identity = await node.run("c", "busybox", "sh", "-c", "read line; echo got $line", stdin=True)
    stream = await node.runtime.attach(identity)
    await stream.write(b"hello\n")
    assert await stream.read() == (1, b"got hello\n")
    assert await stream.read() is None
    await stream.close()
    assert node.log("c") == ["got hello"]


@pytest.mark.parametrize("once", [True, False])
async def test_the_end_of_a_clients_input_is_the_containers_only_with_stdin_once(node, once):
    identity = await node.run("c", "busybox", "sh", "-c", "cat; echo over", stdin=True, stdin_once=once)
    stream = await node.runtime.attach(identity)
    await stream.write(b"one\n")
    assert await stream.read() == (1, b"one\n")
    await stream.close_stdin()
    if not once:
        await stream.close()
        stream = await node.runtime.attach(identity)
        await stream.write(b"two\n")
        assert await stream.read() == (1, b"two\n")
        await node.runtime.stop_container(identity, 0)
    else:
        assert await stream.read() == (1, b"over\n")
        assert await stream.read() is None
    await stream.close()


async def test_a_web_server_answers_and_is_forwarded_to(node):
    await node.run("web", "nginx")  # and at once, before it can listen:
    reader, writer = await node.runtime.port_forward(node.sandbox, 80)
    writer.write(b"GET /hostname HTTP/1.0\r\n\r\n")
    answer = await asyncio.wait_for(reader.read(), 60)
    writer.close()
    assert answer.startswith(b"HTTP/1.1 200 OK") and answer.endswith(b"web\n")
    with pytest.raises(cri.CriError, match="refused"):
        await node.runtime.port_forward(node.sandbox, 81)


async def test_a_container_past_its_memory_limit_is_killed(node):
    identity = await node.run("eat", "memory-eater", resources=cri.Resources(memory_limit=48 << 20))
    status = await node.ended(identity)
    assert (status.reason, status.exit_code) == ("OOMKilled", 137)


async def test_a_memory_limit_that_comes_later_holds_as_well(node):
    identity = await node.run("eat", "memory-eater", resources=cri.Resources(memory_limit=4 << 30))
    assert b"10 MiB" in await node.said("eat")
    await node.runtime.update_container_resources(identity, cri.Resources(memory_limit=48 << 20))
    status = await node.ended(identity)
    assert (status.reason, status.exit_code) == ("OOMKilled", 137)


async def test_a_program_that_is_not_there(node):
    text = 'exec: "nosuch": executable file not found in \\$PATH'
    with pytest.raises(cri.CriError, match=text):
        await node.run("c", "busybox", "nosuch")


INSIDE = """
import asyncio, dataclasses, json, os, sys, tempfile
from workshop.kubelet import cri
from workshop.kubelet.runtimes.process import ProcessRuntime

async def main(root):
    runtime = ProcessRuntime(root, root + "/cni", "10.91.254.11", hide=(root,))
    await runtime.start()
    await runtime.set_pod_cidr("10.91.1.0/24")
    config = cri.PodSandboxConfig("web", "u1", "default", hostname="web-0", log_directory=root + "/log")
    sandbox = await runtime.run_pod_sandbox(config)
    os.makedirs(root + "/volume")
    open(root + "/volume/token", "w").write("secret")
    script = ("hostname; cat /var/run/secrets/t/token; echo; echo $$; id -u; touch /var/run/secrets/t/x || echo read-only;"
              " ls %s 2>/dev/null | wc -l; touch /etc/made-by-test && echo wrote" % root)
    mounts = (cri.Mount("/var/run/secrets/t", root + "/volume", True),)
    made = await runtime.create_container(sandbox, cri.ContainerConfig("c", 0, "busybox", ("sh", "-c", script),
        mounts=mounts, log_path="c/0.log"), config)
    await runtime.start_container(made)
    async for _ in runtime.events():
        break
    for _ in range(1):
        status = await runtime.container_status(made)
    lines = [line.split(" ", 3)[3] for line in open(root + "/log/c/0.log").read().splitlines() if "Read-only" not in line]
    shared = dataclasses.replace(config, uid="u2", share_processes=True, log_directory=root + "/log2")
    other = await runtime.run_pod_sandbox(shared)
    made = await runtime.create_container(other, cri.ContainerConfig("c", 0, "busybox",
        ("sh", "-c", "tr '\\\\0' ' ' < /proc/1/cmdline"), log_path="c/0.log"), shared)
    await runtime.start_container(made)
    async for _ in runtime.events():
        break
    first = open(root + "/log2/c/0.log").read().split()[-1]
    print(json.dumps([status.exit_code, (await runtime.pod_sandbox_status(sandbox)).ip, lines, first]))
    await runtime.remove_pod_sandbox(sandbox)
    await runtime.remove_pod_sandbox(other)
    await runtime.close()

asyncio.run(asyncio.wait_for(main(sys.argv[1]), 60))
"""


@pytest.mark.root
@pytest.mark.skipif(os.geteuid() != 0, reason="namespaces need root (mode userns is tested with whole clusters)")
def test_namespaces_mounts_and_a_layer_of_its_own():
    root = tempfile.mkdtemp(prefix="kubelet-test-")
    os.mkdir(f"{root}/cni")
    Path(f"{root}/cni/10.conf").write_text('{"name": "test", "type": "bridge"}')
    try:
        done = subprocess.run(
            ["unshare", "-n", sys.executable, "-c", INSIDE, root],
            capture_output=True,
            text=True,
            timeout=90,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        exit_code, address, lines, first = json.loads(done.stdout)
        assert exit_code == 0 and address == "10.91.1.2"
        assert lines == ["web-0", "secret", "1", "0", "read-only", "0", "wrote"]
        assert first == "/pause"  # where a pod's containers share their processes
        assert not Path("/etc/made-by-test").exists()
    finally:
        end_all(root)
        shutil.rmtree(root)
