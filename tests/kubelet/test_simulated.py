"""The simulated runtime outlives kubelet: what was there is found again."""

from __future__ import annotations

from pathlib import Path

import pytest

from workshop.kubelet import cri
from workshop.kubelet.runtimes import simulated_journal
from workshop.kubelet.runtimes.simulated import SimulatedRuntime, journal_of


async def runtime(root: Path) -> SimulatedRuntime:
    made = SimulatedRuntime("10.0.254.11", str(root))
    await made.start()
    await made.set_pod_cidr("10.0.1.0/24")
    return made


async def pod(on: SimulatedRuntime, name: str) -> tuple[str, str]:
    config = cri.PodSandboxConfig(name, f"uid-{name}", "default", 0)
    sandbox = await on.run_pod_sandbox(config)
    await on.pull_image("nginx")
    container = await on.create_container(sandbox, cri.ContainerConfig("c", 0, "nginx"), config)
    await on.start_container(container)
    return sandbox, container


async def test_a_killed_kubelet_finds_its_containers_again(tmp_path: Path) -> None:
    first = await runtime(tmp_path)
    (a, container), (b, _) = await pod(first, "a"), await pod(first, "b")
    await first.remove_pod_sandbox(b)
    before = [*await first.list_pod_sandbox(), *await first.list_containers()]
    with journal_of(tmp_path).open("ab") as file:
        file.write(b'["container",{"id":"to')  # torn by the kill
    second = await runtime(tmp_path)
    assert [*await second.list_pod_sandbox(), *await second.list_containers()] == before
    assert await second.image_status("nginx:latest")
    c, _ = await pod(second, "c")
    addresses = {(await second.pod_sandbox_status(each)).ip for each in (a, c)}
    assert len(addresses) == 2, "an address that is held is not given away again"
    second.finish(container, 1)
    third = await runtime(tmp_path)
    status = await third.container_status(container)
    assert (status.state, status.exit_code) == (cri.EXITED, 1)


async def test_a_restart_of_the_machine_ends_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    await pod(await runtime(tmp_path), "a")
    monkeypatch.setattr(simulated_journal, "boot", lambda: "another")
    assert await (await runtime(tmp_path)).list_pod_sandbox() == []


async def test_the_journal_does_not_grow_for_ever(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(simulated_journal, "LONG", 40)
    first = await runtime(tmp_path)
    for number in range(50):
        sandbox, _ = await pod(first, f"p{number}")
        await first.remove_pod_sandbox(sandbox)
    assert len(journal_of(tmp_path).read_bytes().splitlines()) < 50
    await pod(first, "last")
    assert [s.name for s in await (await runtime(tmp_path)).list_pod_sandbox()] == ["last"]
