"""The feed: steps that melt into nothing, beats, who looks, and how little it does when nobody does."""

import asyncio
import json
import threading
import time

import pytest

from tests.fake_api import FakeApi
from tests.ports import free_port
from workshop import serving
from workshop.views import feed as feeds
from workshop.views.board import WHY_NOT_OBSERVED, Board

PODS = "/api/v1/namespaces/default/pods"
WAIT = 60.0


def kubeconfig(folder, port):
    config = {
        "current-context": "c",
        "contexts": [{"name": "c", "context": {"cluster": "c"}}],
        "clusters": [{"name": "c", "cluster": {"server": f"http://127.0.0.1:{port}"}}],
    }
    (folder / "away.conf").write_text(json.dumps(config))
    return folder / "away.conf"


class Served:
    """A FakeApi on a port, in a thread with a loop of its own."""

    def __init__(self, folder, port=0):
        self.api, self.folder, self.port = FakeApi(), folder, port
        self.ready, self.stop = threading.Event(), None
        self.thread = threading.Thread(target=lambda: asyncio.run(self._run()), daemon=True)
        self.thread.start()
        assert self.ready.wait(WAIT)

    async def _run(self):
        self.loop, self.stop = asyncio.get_running_loop(), asyncio.Event()
        sock = serving.listen("127.0.0.1", self.port)
        self.kubeconfig = kubeconfig(self.folder, sock.getsockname()[1])
        async with serving.serve(self.api, [sock], grace=0.1):
            self.ready.set()
            await self.stop.wait()
            self.api.cut_watches()

    def do(self, act):
        done = threading.Event()
        self.loop.call_soon_threadsafe(lambda: (act(), done.set()))
        assert done.wait(WAIT)

    def pod(self, name, **status):
        pod = {
            "kind": "Pod",
            "metadata": {"name": name, "namespace": "default"},
            "spec": {"nodeName": "n"},
            "status": status,
        }
        self.do(lambda: self.api.put(PODS, pod))

    def close(self):
        self.loop.call_soon_threadsafe(self.stop.set)
        self.thread.join(WAIT)


class Ear:
    """What one view was sent; `until` waits for a message."""

    def __init__(self):
        self.messages, self.news = [], threading.Condition()

    def __call__(self, message):
        with self.news:
            self.messages.append(message)
            self.news.notify_all()

    def until(self, wanted):
        with self.news:
            assert self.news.wait_for(lambda: any(map(wanted, self.messages)), WAIT), self.messages[-3:]
            return next(filter(wanted, self.messages))

    def phases(self, key):
        steps = [step for message in self.messages for step in message.get("steps", ())]
        return [step["put"][key]["phase"] for step in steps if key in step["put"]]


def synced(board):
    """It, once it has the whole picture: `attach` itself waits for a few seconds only."""
    with board.feed._changed:
        assert board.feed._changed.wait_for(lambda: board.feed.synced, WAIT)
    return board


@pytest.fixture
def served(tmp_path):
    made = Served(tmp_path)
    yield made
    made.close()


@pytest.fixture
def board(served):
    made = synced(Board.attach(served.kubeconfig))
    yield made
    made.close()


def test_two_changes_of_one_object_never_melt_into_one_step(served, board):
    ear = Ear()
    board.feed.listen("t/1", ear)
    for phase in ("Pending", "Running", "Succeeded"):  # all within one thirtieth of a second
        served.pod("web", phase=phase)
    ear.until(lambda message: any("Succeeded" in json.dumps(step) for step in message.get("steps", ())))
    assert ear.phases("Pod/default/web") == ["Pending", "Running", "Succeeded"]


def test_batches_follow_each_other_by_number_and_come_thirty_a_second_at_most(served, board):
    ear = Ear()
    board.feed.listen("t/1", ear)
    for number in range(200):
        served.pod(f"p{number}", phase="Pending")
    ear.until(lambda message: any("Pod/default/p199" in step["put"] for step in message.get("steps", ())))
    batches = [message for message in ear.messages if "steps" in message]
    assert [one["base"] for one in batches[1:]] == [one["seq"] for one in batches[:-1]]
    span = (batches[-1]["at"] - batches[0]["at"]) / 1000
    assert len(batches) <= span * feeds.BATCHES_A_SECOND + 2


def test_a_whole_picture_leads_on_to_the_next_batch_without_a_gap(served, board):
    ear = Ear()
    board.feed.listen("t/1", ear)
    for number in range(30):
        served.pod(f"p{number}", phase="Pending")
        whole = board.feed.whole()
        later = [message for message in list(ear.messages) if "steps" in message and message["base"] < whole["seq"]]
        for message in later:
            assert all(key in whole["whole"] for step in message["steps"] for key in step["put"])


def test_a_listener_hears_a_beat_and_one_that_left_hears_nothing(board):
    ear, other = Ear(), Ear()
    board.feed.listen("t/1", ear)
    board.feed.listen("t/2", other)
    board.feed.leave("t/2")
    ear.until(lambda message: "steps" not in message and "seq" in message)
    count = len(ear.messages)
    ear.until(lambda message: len(ear.messages) > count)
    assert other.messages == [] and board.feed.listeners == 1


def test_a_view_that_is_silent_for_long_is_let_go_and_may_come_again(board, monkeypatch):
    ear = Ear()
    monkeypatch.setattr(feeds, "QUIET_SECONDS", -1.0)
    board.feed.listen("t/1", ear)
    end = time.monotonic() + WAIT
    while board.feed.listeners:
        assert time.monotonic() < end
        board.feed.wait_for_change(board.feed.sequence, 0.05)
    monkeypatch.setattr(feeds, "QUIET_SECONDS", 60.0)
    board.feed.listen("t/1", ear)
    ear.until(lambda message: "seq" in message)


def test_a_widgets_first_view_is_greeted_with_the_whole_until_it_asks(board):
    ear = Ear()
    board.feed.listen("w/", ear, greet=True)
    ear.until(lambda message: "whole" in message)
    board.feed.listen("w/view", ear)
    assert board.feed.listeners == 1


def test_the_server_is_watched_and_never_polled(served, board):
    """Beats and steps flow for a while: no request is made beside the watches of the beginning."""
    ear = Ear()
    board.feed.listen("t/1", ear)
    before = len(served.api.requests)
    for number in range(3):
        served.pod("web", phase=f"Phase{number}")
        ear.until(lambda message, n=number: f"Phase{n}" in json.dumps(message.get("steps", "")))
    assert len(served.api.requests) == before


def test_a_foreign_cluster_says_why_nothing_is_observed(served, board):
    served.pod("web", phase="Running", conditions=[{"type": "Ready", "status": "True"}])
    end = time.monotonic() + WAIT
    while "pod/web" not in (text := board.text()):
        assert time.monotonic() < end, text
        board.feed.wait_for_change(board.feed.sequence, 0.1)
    assert WHY_NOT_OBSERVED in text
    line = next(line for line in text.splitlines() if "pod/web" in line)
    assert "–" in line and "≠" not in line


def test_it_waits_for_a_server_that_comes_later(tmp_path, monkeypatch):
    port = free_port()
    monkeypatch.setattr(feeds.Feed.start, "__defaults__", (0.2,))
    board = Board.attach(kubeconfig(tmp_path, port))
    try:
        assert "API server has not answered" in board.text()
        served = Served(tmp_path, port)
        try:
            synced(board)
            assert "API server has not answered" not in board.text()
        finally:
            served.close()
    finally:
        board.close()


def test_kinds_that_may_not_be_read_are_left_out_and_said(tmp_path, served):
    served.do(
        lambda: served.api.refuse.append({"kind": "Status", "code": 403, "message": "deployments.apps is forbidden"})
    )
    board = Board.attach(served.kubeconfig)
    try:
        assert "deployments.apps" in synced(board).note
        assert board.feed.blind["deployments.apps"] == "deployments.apps is forbidden"
    finally:
        board.close()


def test_a_closed_board_says_so_and_a_reopened_one_goes_on(served, board):
    ear = Ear()
    board.feed.listen("t/1", ear)
    served.pod("old", phase="Running")
    board.close("the lab is over")
    told = ear.until(lambda message: message.get("problem") == "the lab is over")
    assert told["synced"] is False
    assert board.feed.whole()["problem"] == "the lab is over", "asking again does not make it true"
    board.reopen()
    whole = ear.until(lambda message: "whole" in message and message["synced"])
    assert "Pod/default/old" in whole["whole"]
    served.pod("new", phase="Pending")
    ear.until(lambda message: any("Pod/default/new" in step["put"] for step in message.get("steps", ())))


def test_a_board_whose_server_has_gone_is_stale_until_it_comes_back(tmp_path):
    port = free_port()
    served = Served(tmp_path, port)
    board = Board.attach(served.kubeconfig)
    ear = Ear()
    board.feed.listen("t/1", ear)
    try:
        served.close()
        told = ear.until(lambda message: "cannot be reached" in message.get("problem", ""))
        assert told["synced"] is False and "cannot be reached" in board.text()
        ear.messages.clear()
        served = Served(tmp_path, port)
        assert ear.until(lambda message: message["synced"])["problem"] == ""
    finally:
        served.close()
        board.close()
