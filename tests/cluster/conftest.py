"""Fixtures of the cluster's tests: a state directory of the test's own, and clusters of fake components in it."""

from __future__ import annotations

import itertools
import os
import tempfile
from dataclasses import replace
from pathlib import Path

import pytest

from workshop.cluster import plan as planning
from workshop.cluster.facade import Cluster

FAKE = "tests.cluster.fake_component"
_count = itertools.count()


@pytest.fixture
def home(monkeypatch):
    """WORKSHOP_HOME with a short path: a Unix socket's name has room for 107 bytes."""
    with tempfile.TemporaryDirectory(prefix="ws-") as folder:
        monkeypatch.setenv("WORKSHOP_HOME", folder)
        yield Path(folder)


@pytest.fixture
def fake_cluster(home, monkeypatch):
    """`fake_cluster(only=…)`: a cluster whose components do nothing but live. It is brought down at the end."""
    monkeypatch.setattr(planning, "MODULES", dict.fromkeys(planning.MODULES, FAKE))
    made = []

    def make(**options):
        name = f"fake-{os.getpid()}-{next(_count)}"
        cluster = Cluster(name, options.pop("only", ()))
        made.append(cluster)
        return cluster.up(**{"mode": "plain", "nodes": 1, "wait": 0, **options})

    yield make
    for cluster in made:
        if cluster.layout.root.is_dir():
            cluster.down(purge=True)


@pytest.fixture
def failing(monkeypatch):
    """`failing(program, flag)`: that fake component gets one more flag."""
    real = planning.make

    def give(program, flag):
        def make(*args, **options):
            plan = real(*args, **options)
            components = (replace(c, argv=(*c.argv, flag)) if c.program == program else c for c in plan.components)
            return replace(plan, components=tuple(components))

        monkeypatch.setattr(planning, "make", make)

    return give
