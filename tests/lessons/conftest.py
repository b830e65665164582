"""A home of the test's own, and a lab in it."""

import asyncio
import threading

import pytest

from workshop.lessons.instructor.server import Instructor, run
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


@pytest.fixture
def server():
    """(URL, app) of a server on a thread of its own."""
    app, started, bound = Instructor("board-token", "room-token"), threading.Event(), []
    loop = asyncio.new_event_loop()
    stop = asyncio.Event()

    def say(port):
        bound.append(port)
        started.set()

    thread = threading.Thread(target=lambda: loop.run_until_complete(run(app, "127.0.0.1", 0, stop, say)))
    thread.start()
    assert started.wait(60)
    yield f"http://127.0.0.1:{bound[0]}", app
    loop.call_soon_threadsafe(stop.set)
    thread.join(60)
    loop.close()
