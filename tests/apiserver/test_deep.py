"""What is nested 10,000 levels deep is taken, what is deeper is refused, as by a real kube-apiserver 1.36.2."""

from __future__ import annotations

import json
import resource
import subprocess
import sys

import pytest

from workshop import component

UNREADABLE = "the object provided is unrecognized (must be of type {}): "
PARSING = UNREADABLE + "couldn't get version/kind; json parse error: invalid character '{}' exceeded max depth ({} ...)"
TOO_DEEP = "yaml: exceeded max depth of 10000"
DEEP_HEAD, MAP_HEAD = '{"apiVersion":"wire.example.co', '{"apiVersion":"v1","kind":"Con'
SAID = {
    "object": [201, ""],
    "object, a level more": [400, PARSING.format("Deep", "{", DEEP_HEAD)],
    "object again": [200, ""],
    "list": [200, ""],
    "merge patch": [200, ""],
    "merge patch, too deep": [400, "error decoding patch: invalid character '{' exceeded max depth"],
    "flow in YAML": [201, ""],
    "flow in YAML, too deep": [400, f"{UNREADABLE.format('Deep')}{TOO_DEEP} ({DEEP_HEAD} ...)"],
    "block in YAML": [201, ""],
    "apply": [201, ""],
    "apply, too deep": [400, f"error decoding YAML: error converting YAML to JSON: {TOO_DEEP}"],
    "raw extension": [201, ""],
    "unknown field": [201, ""],
    "unknown field, too deep": [400, PARSING.format("ConfigMap", "[", MAP_HEAD)],
    "delete": [200, ""],
}


@pytest.mark.skipif(sys.version_info >= (3, 12), reason="later Pythons bound what C calls by themselves")
def test_deep_nesting() -> None:
    hard = resource.getrlimit(resource.RLIMIT_STACK)[1]
    if hard != resource.RLIM_INFINITY and hard < component.STACK:
        pytest.skip("the system does not let the stack grow that far")
    asked = subprocess.run([sys.executable, "-m", "tests.apiserver.deep"], capture_output=True, text=True, timeout=120)
    assert asked.returncode == 0, asked.stderr
    assert json.loads(asked.stdout) == SAID
