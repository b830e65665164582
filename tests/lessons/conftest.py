"""A home of the test's own, and a lab in it."""

import pytest

from workshop.lessons.lab import Lab
from workshop.lessons.tour import EXERCISES, SECTIONS


@pytest.fixture
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("WORKSHOP_HOME", str(tmp_path))
    monkeypatch.setenv("WORKSHOP_LEARNER", "anna")
    for variable in ("WORKSHOP_INSTRUCTOR", "WORKSHOP_INSTRUCTOR_TOKEN"):
        monkeypatch.delenv(variable, raising=False)
    return tmp_path


@pytest.fixture
def lab(home):
    return Lab("tour", EXERCISES, SECTIONS)
