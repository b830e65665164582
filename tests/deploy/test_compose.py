"""docker-compose.yml on a real engine (Debian's), with images of this machine's own: built, started, used, removed."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import tempfile
import time
import urllib.error
import urllib.request
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml

from tests.deploy import images
from tests.ports import free_port

ROOT = images.ROOT
COPIED = ("docker-compose.yml", "Dockerfile", ".dockerignore", "pyproject.toml", "requirements.lock", "README.md",
          "LICENSE", "workshop", "labs", "tools/jupyterlab", "deploy/container")  # fmt: skip


# -- what stands in the file -----------------------------------------------------------------------------------------


def compose() -> dict:
    return yaml.safe_load((ROOT / "docker-compose.yml").read_text())


def test_every_port_is_on_loopback_and_nothing_is_privileged():
    for name, service in compose()["services"].items():
        for port in service.get("ports", ()):
            assert str(port).startswith("127.0.0.1:"), name
        assert not service.get("privileged") and service.get("network_mode") != "host", name
    lab = compose()["services"]["lab"]
    assert lab["cap_drop"] == ["ALL"] and "user" not in lab and "profiles" not in lab
    assert not any("docker.sock" in str(volume) for volume in lab["volumes"])


def test_the_file_is_of_both_generations():
    """docker-compose 1.29 and version 2 read it: no `version`, and no key that only one of them has."""
    found = compose()
    assert set(found) == {"services", "volumes"}
    known = {"image", "build", "environment", "ports", "volumes", "cap_drop", "security_opt", "pids_limit", "mem_limit",
             "stop_grace_period", "profiles", "user", "network_mode", "entrypoint", "command"}  # fmt: skip
    for service in found["services"].values():
        assert set(service) <= known
    assert {name: s.get("profiles") for name, s in found["services"].items()} == {
        "lab": None,
        "lab-docker": ["docker-runtime"],
        "etcd": ["real"],
    }


def test_the_image_has_a_base_that_may_be_chosen_and_runs_as_nobody_special():
    text = (ROOT / "Dockerfile").read_text()
    assert text.index("ARG BASE=") < text.index("FROM ${BASE}") and re.search(r"^USER 1000", text, re.MULTILINE)


# -- on an engine ----------------------------------------------------------------------------------------------------


@dataclass
class Project:
    """`docker-compose` with a project of the test's own."""

    folder: Path
    environment: dict[str, str]
    took: dict[str, float]

    def __call__(self, *argv: str, check: bool = True, timeout: float = 300) -> subprocess.CompletedProcess[str]:
        begun = time.monotonic()
        done = subprocess.run(
            ["docker-compose", *argv], cwd=self.folder, env=self.environment, capture_output=True, text=True,
            check=False, timeout=timeout, stdin=subprocess.DEVNULL,
        )  # fmt: skip
        self.took[argv[0] if not argv[0].startswith("-") else " ".join(argv[:3])] = time.monotonic() - begun
        assert not check or done.returncode == 0, (done.stdout + done.stderr)[-4000:]
        return done

    def inside(self, service: str, *argv: str, check: bool = True) -> str:
        return self("exec", "-T", service, *argv, check=check).stdout


def get(url: str) -> tuple[int, bytes]:
    try:
        with urllib.request.urlopen(url, timeout=60) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as problem:
        with problem:
            return problem.code, problem.read()


def until_up(project: Project, service: str, url: str, patience: float = 150) -> None:
    """JupyterLab tells nobody outside when it listens, so it is asked."""
    deadline = time.monotonic() + patience
    while True:
        try:
            get(url)
        except (urllib.error.URLError, ConnectionError, TimeoutError):
            assert time.monotonic() < deadline, project("logs", service).stdout[-3000:]
            time.sleep(0.2)
        else:
            return


@pytest.fixture(scope="module")
def project(engine):
    """The image built by compose, on a base and with wheels that are made here."""
    if shutil.which("docker-compose") is None:
        pytest.skip("docker-compose is not installed")
    with tempfile.TemporaryDirectory(prefix="ws-compose-") as name:
        folder = Path(name, "workshop")
        folder.mkdir()
        for part in COPIED:
            (folder / part).parent.mkdir(parents=True, exist_ok=True)
            copy = shutil.copytree if (ROOT / part).is_dir() else shutil.copyfile
            copy(ROOT / part, folder / part)
        packed = images.wheelhouse(Path(name, "wheels"), [*images.requirements(), "setuptools"])
        # what is installed here, which on a desk need not be the lock's
        pins = "".join(f"{name}=={version}\n" for name, version in sorted(packed.items()))
        (folder / "requirements.lock").write_text(pins)
        client = engine.client
        client.import_image_from_data(images.base(Path(name, "wheels")), repository="workshop-base", tag="test")
        port, docker_port = free_port(), free_port()
        environment = {
            **os.environ,
            "DOCKER_HOST": engine.url, "COMPOSE_PROJECT_NAME": f"ws{os.getpid()}", "COMPOSE_HTTP_TIMEOUT": "200",
            "BASE": "workshop-base:test", "PACKAGES": "", "ETCD_IMAGE": "etcd:debian",
            "PIP_OPTIONS": "--no-index --find-links=/wheels --no-compile",
            "PORT": str(port), "DOCKER_PORT": str(docker_port), "JUPYTER_TOKEN": "a-token-of-the-test",
            "DOCKER_SOCKET": engine.url.removeprefix("unix://"), "STATE": f"{name}/state",
        }  # fmt: skip
        made = Project(folder, environment, {})
        made("build", "lab")
        try:
            yield made
        finally:
            made("--profile", "docker-runtime", "--profile", "real", "down", "--volumes", "--timeout", "5")
            left = [entry["Names"] for entry in client.containers(all=True)]
            networks = [one["Name"] for one in client.networks() if one["Name"].startswith("ws")]
            print({key: round(value, 1) for key, value in made.took.items()})
            assert (left, networks) == ([], [])


@pytest.mark.cluster
@pytest.mark.root
def test_up_gives_jupyterlab_with_the_labs_behind_a_token_and_a_cluster_inside(project):
    project("up", "-d", "lab")
    here = f"http://127.0.0.1:{project.environment['PORT']}"
    until_up(project, "lab", f"{here}/api")
    assert get(f"{here}/api/contents/labs")[0] == 403
    status, body = get(f"{here}/api/contents/labs?token=a-token-of-the-test")
    assert status == 200
    assert {"index.ipynb", "00-tour.ipynb"} <= {entry["name"] for entry in json.loads(body)["content"]}
    status, body = get(f"{here}/lab/tree/labs/index.ipynb?token=a-token-of-the-test")
    assert status == 200 and b"jupyter-config-data" in body
    assert "token=a-token-of-the-test" in project("logs", "lab").stdout  # the address to open is printed
    assert project.inside("lab", "id", "-u").strip() == "1000"

    project.inside("lab", "workshop", "up", "--nodes", "1")
    nodes = project.inside("lab", "workshop", "kubectl", "get", "nodes")
    assert re.search(r"node-1\s+Ready", nodes), nodes
    assert "kube-apiserver" in project.inside("lab", "ps", "-ef")
    project.inside("lab", "workshop", "down")
    project.inside("lab", "touch", "/home/learner/labs/mine.ipynb")
    project("rm", "--stop", "--force", "lab")
    project("up", "-d", "lab")
    assert "mine.ipynb" in project.inside("lab", "ls", "/home/learner/labs")  # the volume keeps the learner's work
    project("rm", "--stop", "--force", "lab")


@pytest.mark.cluster
@pytest.mark.root
def test_profile_docker_runtime_runs_pods_on_the_host_engine(project, engine):
    project("--profile", "docker-runtime", "up", "-d", "lab-docker")
    project.inside("lab-docker", "workshop", "up", "--nodes", "1")
    project.inside("lab-docker", "workshop", "kubectl", "create", "deployment", "web", "--image=busybox:1.35")
    wanted = "io.kubernetes.docker.type=container"
    with_pod = engine.client.events(decode=True, filters={"event": "start", "label": wanted}, since=0)
    names = (event["Actor"]["Attributes"]["name"] for event in with_pod)  # the engine tells of earlier tests' too
    assert next(name for name in names if name.startswith("k8s_busybox_web-"))
    with_pod.close()
    project.inside("lab-docker", "workshop", "down")
    assert [name for entry in engine.client.containers(all=True) for name in entry["Names"] if "/k8s_" in name] == []


@pytest.mark.cluster
@pytest.mark.root
def test_profile_real_has_a_real_etcd_beside_ours(project, engine):
    program = shutil.which("etcd")
    if program is None:
        pytest.skip("etcd is not installed (Debian: etcd-server)")
    context = project.folder / "etcd"
    context.mkdir()
    shutil.copy(program, context / "etcd")
    (context / "Dockerfile").write_text("FROM workshop-base:test\nCOPY etcd /usr/bin/etcd\n")
    for _ in engine.client.build(path=str(context), tag="etcd:debian", rm=True):
        pass
    project("--profile", "real", "up", "-d", "lab", "etcd")
    ask = "import time, urllib.request as u\nfor _ in range(600):\n    try: print(u.urlopen('http://etcd:2379/health').read().decode()); break\n    except OSError: time.sleep(0.1)"
    assert '"health":"true"' in project.inside("lab", "python", "-c", ask)
