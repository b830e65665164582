"""What is for many: Zero to JupyterHub's values, Binder's files, TLJH's settings, the compose file of a room."""

from __future__ import annotations

import ast
import os
import re
import shutil
import subprocess
import tomllib
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
KEYS = Path(__file__).with_name("z2jh_keys.txt")


def known() -> dict[str, str]:
    """Path -> type, of the chart's settings; `*` is any key."""
    lines = [line for line in KEYS.read_text().splitlines() if line and not line.startswith("#")]
    return dict(line.split(" ") for line in lines)


TYPES = {"object": dict, "array": list, "string": str, "boolean": bool, "integer": int, "number": (int, float), "null": type(None)}  # fmt: skip


def problems(value: object, table: dict[str, str], path: str = "") -> list[str]:
    """What of `value` the chart does not know, or has of another type."""
    found = []
    for key, inner in value.items():
        here = f"{path}.{key}" if path else key
        kinds = table.get(here) or table.get(f"{path}.*")
        if kinds is None:
            found.append(f"the chart has no {here}")
            continue
        allowed = tuple(t for kind in kinds.split("|") if kind != "any" for t in _classes(kind))
        if kinds != "any" and (not isinstance(inner, allowed) or (isinstance(inner, bool) and bool not in allowed)):
            found.append(f"{here} is {type(inner).__name__}, the chart takes {kinds}")
        if isinstance(inner, dict) and any(one.startswith(f"{here}.") for one in table):
            found += problems(inner, table, here)
    return found


def _classes(kind: str) -> tuple[type, ...]:
    classes = TYPES[kind]
    return classes if isinstance(classes, tuple) else (classes,)


def values() -> dict:
    return yaml.safe_load((ROOT / "deploy/z2jh/values.yaml").read_text())


def test_the_values_are_what_the_chart_takes():
    assert problems(values(), known()) == []
    assert problems({"singleuser": {"cpus": 1}, "hub": {"concurrentSpawnLimit": "64"}}, known()) == [
        "the chart has no singleuser.cpus",
        "hub.concurrentSpawnLimit is str, the chart takes integer|null",
    ]


def test_a_learner_is_bounded_and_shut_in():
    user = values()["singleuser"]
    assert user["cpu"]["limit"] <= 2 and user["memory"]["limit"] == "2G" and user["memory"]["guarantee"]
    assert user["allowPrivilegeEscalation"] is False and user["uid"] == 1000
    network = user["networkPolicy"]
    assert network["enabled"] and not any(
        network["egressAllowRules"][rule] for rule in ("nonPrivateIPs", "privateIPs", "cloudMetadataServer")
    )
    assert user["extraPodConfig"]["automountServiceAccountToken"] is False


def test_the_board_is_reached_through_the_proxy_only_and_its_tokens_are_secrets():
    hub = values()["hub"]
    [board] = [one for one in hub["extraContainers"] if one["name"] == "board"]
    port = str(board["ports"][0]["containerPort"])
    assert hub["services"]["board"]["url"].endswith(f":{port}")
    assert [rule["port"] for rule in hub["service"]["extraPorts"]] == [int(port)]
    [rule] = hub["networkPolicy"]["ingress"]
    assert rule["from"] == [{"podSelector": {"matchLabels": {"app": "jupyterhub", "component": "proxy"}}}]
    assert all("secretKeyRef" in one["valueFrom"] for one in board["env"])
    assert "--prefix" in board["command"] and "/services/board" in board["command"]


def test_helm_renders_it(tmp_path):
    chart = os.environ.get("Z2JH_CHART")
    if shutil.which("helm") is None or not chart:
        pytest.skip("helm is not here, or Z2JH_CHART names no unpacked chart")
    command = ["helm", "template", "workshop", chart, "-f", str(ROOT / "deploy/z2jh/values.yaml")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    kinds = {document["kind"] for document in yaml.safe_load_all(done.stdout) if document}
    assert {"Deployment", "NetworkPolicy", "Service"} <= kinds


def test_binder_finds_a_python_that_fits_and_scripts_that_name_what_is_there():
    folder = ROOT / ".binder"
    python = (folder / "runtime.txt").read_text().strip()
    wanted = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["requires-python"]
    assert tuple(map(int, python.removeprefix("python-").split("."))) >= tuple(map(int, wanted.removeprefix(">=").split(".")))  # fmt: skip
    for name in ("postBuild", "start"):
        script = folder / name
        assert os.access(script, os.X_OK), f"{name} has to be executable"
        assert subprocess.run(["sh", "-n", str(script)], check=False).returncode == 0
    text = (folder / "postBuild").read_text()
    assert "requirements.lock" in text and (ROOT / "requirements.lock").exists()
    shown = subprocess.run([str(folder / "start"), "sh", "-c", "echo $WORKSHOP_HOME"], capture_output=True, text=True,
                           check=True, env={"PATH": os.environ["PATH"]})  # fmt: skip
    assert shown.stdout == "/tmp/workshop\n"


class _Settings:
    """What `get_config()` gives, as far as a file of settings needs it."""

    def __init__(self) -> None:
        self.__dict__["set"] = {}

    def __getattr__(self, name: str) -> _Settings:
        return self.__dict__["set"].setdefault(name, _Settings())

    def __setattr__(self, name: str, value: object) -> None:
        self.__dict__["set"][name] = value


def test_tljh_reads_its_settings(capsys):
    found = _Settings()
    source = (ROOT / "deploy/tljh/workshop.py").read_text()
    exec(compile(source, "workshop.py", "exec"), {"get_config": lambda: found})
    [board] = found.JupyterHub.services
    assert board["environment"]["WORKSHOP_BOARD_TOKEN"] in capsys.readouterr().out
    assert found.Spawner.environment["WORKSHOP_INSTRUCTOR_TOKEN"] == board["environment"]["WORKSHOP_INSTRUCTOR_TOKEN"]
    assert found.Spawner.environment["WORKSHOP_INSTRUCTOR_TOKEN"] != board["environment"]["WORKSHOP_BOARD_TOKEN"]
    told = (ROOT / "deploy/tljh/README.md").read_text()
    for path in re.findall(r"(?:deploy|tools)/[\w./]+|requirements\.lock", told):
        assert (ROOT / path).exists(), path


def test_the_room_compose_file_is_read_by_docker_compose():
    if shutil.which("docker-compose") is None:
        pytest.skip("docker-compose is not installed")
    environment = {**os.environ, "ROOM_PASSWORD": "a-room-pass", "ADMIN_PASSWORD": "x" * 32}
    command = ["docker-compose", "-f", str(ROOT / "deploy/room/docker-compose.yml"), "config"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    hub = yaml.safe_load(done.stdout)["services"]["hub"]
    assert "127.0.0.1:8000:8000" in str(hub["ports"])
    without = {name: value for name, value in environment.items() if name != "ROOM_PASSWORD"}
    refused = subprocess.run(command, env=without, capture_output=True, text=True, check=False)
    assert refused.returncode != 0 and "set ROOM_PASSWORD" in refused.stderr


def test_every_setting_of_the_room_is_told_in_its_head():
    source = (ROOT / "deploy/room/jupyterhub_config.py").read_text()
    head = ast.get_docstring(ast.parse(source))
    for name in ("ROOM_PASSWORD", "ADMIN_PASSWORD", "SPAWNER", "LEARNERS", "CPU", "MEMORY", "BOARD_TOKEN", "ADDRESS"):
        assert name in head and name in source.replace(head, "")
