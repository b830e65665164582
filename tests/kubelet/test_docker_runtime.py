"""The Docker runtime: its translations as pure functions, and its verbs on a real engine of the test's own."""

from __future__ import annotations

import asyncio
import doctest
import os
import shutil
import tempfile
from dataclasses import replace
from pathlib import Path

import pytest

from tests.docker_engine import BUSYBOX, PAUSE
from tests.machine import quiet
from workshop.clock import SYSTEM
from workshop.kubelet import cri
from workshop.kubelet.images import catalogue
from workshop.kubelet.runtimes import docker_engine, docker_streams
from workshop.kubelet.runtimes import docker_objects as objects
from workshop.kubelet.runtimes.docker import DockerRuntime
from workshop.kubelet.server import logs
from workshop.kubelet.server.logs import Options

POD = cri.PodSandboxConfig("web", "u-1", "default", hostname="web", nameservers=("10.9.0.10",), searches=("svc.x",))


# -- pure ------------------------------------------------------------------------------------------------------------


def test_the_examples_in_the_docstrings():
    assert doctest.testmod(objects).failed == 0
    assert doctest.testmod(docker_engine).attempted > 0 and doctest.testmod(docker_engine).failed == 0


def test_names_and_labels_are_dockershims():
    config = cri.ContainerConfig("app", 3, "nginx", annotations={"a/b": "c"}, labels={cri.POD_UID: "u-1"})
    body = objects.container_body("s1", config, POD, "/root-dir", "/log/0.log")
    assert objects.container_name(config, POD) == "k8s_app_web_default_u-1_3"
    assert body["Labels"] == {
        "io.kubernetes.pod.uid": "u-1",
        "annotation.a/b": "c",
        "io.kubernetes.docker.type": "container",
        "io.kubernetes.sandbox.id": "s1",
        "io.kubernetes.container.logpath": "/log/0.log",
        "workshop.kubelet.root-dir": "/root-dir",
    }
    assert objects.split_labels(body["Labels"]) == ({"io.kubernetes.pod.uid": "u-1"}, {"a/b": "c"})


def test_a_container_joins_its_sandbox_and_gets_its_limits():
    config = cri.ContainerConfig(
        "app", 0, "nginx", ("sh", "-c"), ("true",), resources=cri.Resources(512, 50_000, memory_limit=1 << 24),
        security=cri.SecurityContext(run_as_user=7, run_as_group=8, drop_capabilities=("ALL",), no_new_privs=True),
        mounts=(cri.Mount("/data", "/host:with:colons", readonly=True),),
    )  # fmt: skip
    body = objects.container_body("s1", config, POD, "/r", "/l")
    host = body["HostConfig"]
    assert (host["NetworkMode"], host["IpcMode"]) == ("container:s1", "container:s1")
    assert (host["CpuQuota"], host["Memory"], host["MemorySwap"]) == (50_000, 1 << 24, 1 << 24)
    assert (body["User"], host["CapDrop"], host["SecurityOpt"]) == ("7:8", ["ALL"], ["no-new-privileges"])
    assert (body["Entrypoint"], body["Cmd"]) == (["sh", "-c"], ["true"])
    assert host["Mounts"][0]["Source"] == "/host:with:colons" and host["Mounts"][0]["ReadOnly"]


def test_a_host_port_is_published_on_the_nodes_address_only():
    config = replace(POD, port_mappings=(cri.PortMapping(80, 8080), cri.PortMapping(81)))
    body = objects.sandbox_body(config, "/r", "pause", own_network=False, node_ip="127.9.254.11")
    assert body["HostConfig"]["PortBindings"] == {"80/tcp": [{"HostIp": "127.9.254.11", "HostPort": "8080"}]}
    assert "PortBindings" not in objects.sandbox_body(config, "/r", "p", own_network=True, node_ip="x")["HostConfig"]


async def test_an_engine_that_does_not_answer_makes_the_node_not_ready(tmp_path):
    runtime = DockerRuntime(f"unix://{tmp_path}/none.sock", str(tmp_path), "", "127.9.254.11")
    await runtime.start()
    ready = (await runtime.status()).conditions[0]
    assert not ready.status and "Is the docker daemon running?" in ready.message
    with pytest.raises(cri.CriError, match="Cannot connect to the Docker daemon"):
        await runtime.list_pod_sandbox()
    await runtime.close()
    assert docker_engine.usable(f"unix://{tmp_path}/none.sock")[0] is False


async def test_an_engine_that_closes_over_unread_input_has_its_last_words_read(tmp_path):
    path = f"{tmp_path}/d.sock"

    async def engine(reader, writer):
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 101 UPGRADED\r\n\r\n" + b"\1\0\0\0\0\0\0\4last")
        writer.close()

    async with await asyncio.start_unix_server(engine, path), asyncio.timeout(60):
        reader, writer = await docker_streams.Endpoint(f"unix://{path}", "1.41").open("POST", "/exec", take_over=True)

        async def nothing(*_):
            return 5

        session = docker_streams.Session(reader, writer, tty=False, ended=nothing, resized=nothing)
        while not writer.transport.is_closing():
            await session.write(b"typed too late\n")
        assert await session.read() == (1, b"last")
        assert await session.read() is None
        await session.close()


# -- on an engine ----------------------------------------------------------------------------------------------------


async def _always() -> bool:
    return True


class Node:
    """A runtime with one pod, on Docker's own bridge (mode plain)."""

    def __init__(self, url: str, root: str) -> None:
        self.url, self.root = url, root
        os.mkdir(f"{root}/cni")
        Path(f"{root}/cni/10.conf").write_text('{"name": "test", "type": "loopback"}')
        self.config = replace(POD, uid="u-" + os.path.basename(root).replace("_", "-"), log_directory=f"{root}/log")
        self.config = replace(self.config, labels={cri.POD_UID: self.config.uid})
        self.sandbox = ""
        self.runtime = self.new_runtime()

    def new_runtime(self) -> DockerRuntime:
        return DockerRuntime(self.url, self.root, f"{self.root}/cni", "127.92.254.11")

    async def start(self) -> None:
        await self.runtime.start()
        await self.runtime.set_pod_cidr("127.92.1.0/24")
        self.sandbox = await self.runtime.run_pod_sandbox(self.config)

    async def again(self) -> None:
        """kubelet is killed and comes back: nothing of the old runtime is told."""
        await self.runtime.close()
        self.runtime = self.new_runtime()
        await self.runtime.start()
        await self.runtime.set_pod_cidr("127.92.1.0/24")

    async def run(self, name: str, *command: str, **more: object) -> str:
        config = cri.ContainerConfig(
            name, 0, BUSYBOX, command, log_path=f"{name}/0.log", labels=self.config.labels, **more
        )
        identity = await self.runtime.create_container(self.sandbox, config, self.config)
        await self.runtime.start_container(identity)
        return identity

    async def ended(self, identity: str) -> cri.ContainerStatus:
        async with asyncio.timeout(60):
            while (status := await self.runtime.container_status(identity)).state != cri.EXITED:
                await anext(self.runtime.events())
        return status

    async def said(self, name: str, count: int = 1) -> list[bytes]:
        """The first lines of output."""
        found: list[bytes] = []
        path = f"{self.root}/log/{name}/0.log"
        async with asyncio.timeout(60):
            async for piece in logs.read(path, Options(follow=True), _always, SYSTEM):
                found += piece.splitlines()
                if len(found) >= count:
                    return found
        raise AssertionError


@pytest.fixture
async def node(engine):
    root = tempfile.mkdtemp(prefix="kubelet-test-")
    made = Node(engine.url, root)
    try:
        await made.start()
        yield made
        await made.runtime.remove_pod_sandbox(made.sandbox)
        assert await made.runtime.list_pod_sandbox() == [] and await made.runtime.list_containers() == []
        assert os.listdir(f"{root}/docker") == []
    finally:
        docker_engine.clean(engine.url, os.path.dirname(root))
        await made.runtime.close()
        shutil.rmtree(root)


async def listening(node, port):
    """A connection to a port of the pod, once its program listens: an engine tells only that it was started."""
    async with asyncio.timeout(60):
        while True:
            try:
                return await node.runtime.port_forward(node.sandbox, port)
            except cri.CriError:
                await asyncio.sleep(0.05)


@pytest.mark.root
async def test_docker_ps_shows_the_pod_and_its_containers_share_one_network(node, engine):
    web = await node.run("web", "httpd", "-f", "-p", "8080", "-h", "/etc")
    names = {entry["Names"][0] for entry in engine.client.containers()}
    uid = node.config.uid
    assert names == {f"/k8s_POD_web_default_{uid}_0", f"/k8s_web_web_default_{uid}_0"}
    [sandbox] = await node.runtime.list_pod_sandbox(uid)
    assert sandbox.ip.startswith(engine.subnet) and sandbox.state == cri.READY
    reader, writer = await listening(node, 8080)
    writer.write(b"GET /passwd HTTP/1.0\r\n\r\n")
    assert b"root:x:0:0" in await reader.read()
    writer.close()
    with pytest.raises(cri.CriError, match="failed to connect to localhost:9"):
        await node.runtime.port_forward(node.sandbox, 9)
    done = await node.runtime.exec_sync(web, ["wget", "-q", "-O", "-", "http://127.0.0.1:8080/resolv.conf"], 60)
    assert b"nameserver 10.9.0.10" in done.stdout and b"svc.x" in done.stdout and done.exit_code == 0
    assert (await node.runtime.exec_sync(web, ["hostname"], 60)).stdout == b"web\n"
    stats = await node.runtime.container_stats(web)
    assert stats["memory_bytes"] > 0 and stats["cpu_seconds"] > 0
    status = await node.runtime.container_status(web)
    assert status.image_ref.startswith("docker://sha256:") and status.sandbox_id == node.sandbox


@pytest.mark.root
async def test_output_ends_and_exit_codes(node):
    one = await node.run("one", "sh", "-c", "echo out; echo err >&2; exit 7")
    status = await node.ended(one)
    assert (status.exit_code, status.reason, status.pid) == (7, "Error", 0)
    text = Path(status.log_path).read_text().splitlines()
    assert {" ".join(line.split(" ")[1:]) for line in text} == {"stdout F out", "stderr F err"}
    assert await node.runtime.container_stats(one) == {}
    bad = cri.ContainerConfig("bad", 0, BUSYBOX, ("/nope",), log_path="bad/0.log", labels=node.config.labels)
    identity = await node.runtime.create_container(node.sandbox, bad, node.config)
    with pytest.raises(cri.CriError, match=r'failed to start container ".*/nope') as caught:
        await node.runtime.start_container(identity)
    assert caught.value.reason == "RunContainerError"
    failed = await node.runtime.container_status(identity)
    assert (failed.state, failed.reason, failed.exit_code) == (cri.EXITED, "ContainerCannotRun", 127)


@pytest.mark.root
async def test_stop_waits_for_the_grace_and_then_kills(node):
    kind = await node.run("kind", "sh", "-c", "trap 'echo bye; exit 3' TERM; echo up; while :; do sleep 0.05; done")
    deaf = await node.run("deaf", "sh", "-c", "trap '' TERM; echo up; while :; do sleep 0.05; done")
    await node.said("kind")
    await node.said("deaf")
    await node.runtime.stop_container(kind, 60)
    assert (await node.ended(kind)).exit_code == 3
    assert b"bye" in (await node.said("kind", 2))
    begun = SYSTEM.monotonic()
    await node.runtime.stop_container(deaf, 0.5)
    assert 0.5 <= SYSTEM.monotonic() - begun < (8 if quiet() else 60)
    assert (await node.ended(deaf)).exit_code == 137
    await node.runtime.stop_container(deaf, 20)  # again: at once


@pytest.mark.root
async def test_exec_and_attach_carry_both_ways(node):
    cat = await node.run("cat", "cat", stdin=True)
    attached = await node.runtime.attach(cat)
    await attached.write(b"hello\n")
    assert await asyncio.wait_for(attached.read(), 60) == (1, b"hello\n")
    shell = await node.runtime.exec(
        cat, ["sh", "-c", "read x; echo got $x; echo no >&2; exit 5"], stdin=True, tty=False
    )
    await shell.write(b"word\n")
    await shell.close_stdin()
    pieces = [piece async for piece in _all(shell)]
    assert sorted(pieces) == [(1, b"got word\n"), (2, b"no\n")]
    assert await shell.exit_code() == 5
    await shell.close()
    terminal = await node.runtime.exec(cat, ["sh", "-c", "read x; stty size"], stdin=True, tty=True)
    await terminal.resize(91, 37)
    await terminal.write(b"\n")
    assert b"37 91" in b"".join([data async for _, data in _all(terminal)])
    await terminal.close()
    with pytest.raises(cri.CriError) as slow:
        await node.runtime.exec_sync(cat, ["sleep", "60"], 0.3)
    assert slow.value.reason == "Timeout"
    await attached.close_stdin()
    await attached.close()


async def _all(stream):
    while (piece := await asyncio.wait_for(stream.read(), 60)) is not None:
        yield piece


@pytest.mark.root
async def test_a_new_kubelet_finds_everything_again(node):
    counting = "i=0; while :; do i=$((i+1)); echo $i; sleep 0.02; done"
    busy = await node.run("busy", "sh", "-c", counting)
    brief = await node.run("brief", "sh", "-c", "echo before; sleep 0.2; echo after; exit 4")
    await node.said("busy", 3)
    before = await node.runtime.pod_sandbox_status(node.sandbox)
    await node.again()
    assert await node.runtime.pod_sandbox_status(node.sandbox) == before
    assert {status.id for status in await node.runtime.list_containers(node.config.uid)} == {busy, brief}
    assert (await node.ended(brief)).exit_code == 4
    assert (await node.said("brief", 2)) == [b"before", b"after"]
    lines = await node.said("busy", 40)
    assert [int(line) for line in lines] == list(range(1, len(lines) + 1))  # none twice, none lost
    assert [event async for event in _until_stopped(node, busy)]


async def _until_stopped(node, identity):
    stopping = asyncio.ensure_future(node.runtime.stop_container(identity, 0))
    async with asyncio.timeout(60):
        async for event in node.runtime.events():
            if event.container_id == identity and event.type == "CONTAINER_STOPPED_EVENT":
                yield event
                break
    await stopping


@pytest.mark.root
async def test_images_are_found_and_missed_in_words(node, engine):
    found = await node.runtime.image_status(BUSYBOX)
    assert found is not None and found.size > 500_000 and found.repo_tags == (BUSYBOX,)
    assert {PAUSE, BUSYBOX} <= {tag for image in await node.runtime.list_images() for tag in image.repo_tags}
    assert await node.runtime.image_status("nowhere:1") is None
    with pytest.raises(catalogue.InvalidImageName):
        await node.runtime.image_status("Not An Image")
    with pytest.raises(cri.CriError, match="Error response from daemon"):
        await node.runtime.pull_image("127.0.0.1:1/nowhere:1")
    before = node.config.uid
    runtime = DockerRuntime(engine.url, node.root, f"{node.root}/cni", "127.92.254.11", pause_image="127.0.0.1:1/p:1")
    await runtime.start()
    await runtime.set_pod_cidr("127.92.1.0/24")
    with pytest.raises(cri.CriError, match=r'failed pulling image "127\.0\.0\.1:1/p:1"'):
        await runtime.run_pod_sandbox(replace(node.config, attempt=1))
    await runtime.close()
    assert len(await node.runtime.list_pod_sandbox(before)) == 1


@pytest.mark.root
async def test_a_container_over_its_memory_is_said_to_be_oom_killed(node):
    eater = await node.run(
        "eater", "sh", "-c", "x=a; while :; do x=$x$x; done", resources=cri.Resources(memory_limit=8 << 20)
    )
    status = await node.ended(eater)
    assert (status.reason, status.exit_code) == ("OOMKilled", 137)


async def test_limits_change_while_a_container_runs(node):
    identity = await node.run(
        "c", "sh", "-c", "sleep 600", resources=cri.Resources(memory_limit=64 << 20, cpu_shares=102)
    )
    grown = cri.Resources(memory_limit=128 << 20, cpu_shares=256, cpu_quota=50_000)
    await node.runtime.update_container_resources(identity, grown)
    host = node.runtime._engine.inspect_container(identity)["HostConfig"]
    assert (host["Memory"], host["CpuShares"], host["CpuQuota"]) == (128 << 20, 256, 50_000)
    assert (await node.runtime.container_status(identity)).state == cri.RUNNING
