"""The Raft ring: what is done to a simulated cluster, taken back, and gone on with beside the old run."""

import json

import pytest

from tests.views import browser
from workshop.cluster.layout import ClusterError
from workshop.views import front
from workshop.views.raft import LiveRing, RaftRing
from workshop.views.ring import Ring, picture, text
from workshop.views.store import MemberStatus

SECONDS = 3.0


def led(members=3, **rules):
    ring = RaftRing(members, 1, **rules)
    ring.do("run", SECONDS)
    assert ring.picture()["leader"]
    return ring


def test_a_write_is_seen_on_its_way_and_then_committed():
    ring = led()
    ring.do("put")
    assert {m["kind"] for m in ring.picture()["messages"]} == {"append"}
    leader = ring.picture()["leader"]
    before = ring.picture()["members"][leader - 1]
    assert before["log"][-1]["index"] > before["committed"]
    for _ in range(6):
        ring.do("step")
    after = ring.picture()["members"][leader - 1]
    assert after["log"][-1]["index"] == after["committed"] == before["log"][-1]["index"]


def test_each_act_is_taken_back():
    ring = led()
    before = picture(ring.ring.simulation)
    for act in (("crash", 1), ("parts", 3), ("run", 1.0), ("time out", 2), ("put",)):
        ring.do(*act)
    assert picture(ring.ring.simulation) != before
    for _ in range(5):
        ring.do("rewind")
    assert picture(ring.ring.simulation) == before
    for _ in range(2):
        said = ring.do("rewind")
    assert said == "this is the beginning"


def test_the_same_acts_have_the_same_end_and_a_fork_goes_its_own_way():
    one, other = led(), led()
    one.do("run", 1.0), other.do("run", 1.0)
    assert one.ring.picture() == other.ring.picture()
    one.do("fork")
    one.do("crash", one.picture()["leader"])
    one.do("rewind")
    one.do("run", 2.0)
    assert one.picture()["branch"] == 1
    one.do("branch", 0)
    assert picture(one.ring.simulation) == picture(other.ring.simulation)


def test_a_message_is_lost_and_another_late():
    ring = led()
    ring.do("put")
    first, second = ring.picture()["messages"][:2]
    ring.do("drop", first["id"])
    ring.do("delay", second["id"], 0.5)
    left = {m["text"]: m["due"] for m in ring.picture()["messages"]}
    assert first["text"] not in left and left[second["text"]] > 500
    assert "there is no message" in ring.answer({"do": "drop", "with": [first["id"]]})["said"]


def test_a_minority_elects_nobody_and_nine_in_three_parts_none():
    ring = led(9)
    ring.do("parts", 3)
    ring.do("run", 5.0)
    assert not any(m["role"] == "leader" for m in ring.picture()["members"])
    ring.do("heal")
    ring.do("run", 5.0)
    assert [m["role"] for m in ring.picture()["members"]].count("leader") == 1


def test_a_stopped_leader_is_replaced_and_a_learner_becomes_a_voter():
    ring = led()
    old = ring.picture()["leader"]
    ring.do("stop", old)
    ring.do("run", 4.0)
    ring.do("resume", old)
    ring.do("run", 2.0)
    assert ring.picture()["leader"] != old
    ring.do("add learner")
    ring.do("run", 2.0)
    assert ring.picture()["members"][3]["role"] == "learner" and "of 3 voters" in ring.picture()["quorum"]
    ring.do("promote", 4)
    ring.do("run", 2.0)
    assert ring.picture()["members"][3]["role"] == "follower" and "of 4 voters" in ring.picture()["quorum"]


def test_a_rule_of_ones_own_breaks_a_promise_in_words():
    ring = RaftRing(3, 1, may_vote=lambda me, candidate: True)
    for id in (1, 2):
        ring.do("time out", id)
    said = [ring.do("run", 0.5) for _ in range(10)]
    assert any("a promise is broken: election safety" in one for one in said)


@pytest.mark.parametrize("question", [{"do": "fly"}, {"do": "crash", "with": [77]}, {"do": "crash"}, {"do": "partition", "with": [[[1, 99]]]}])  # fmt: skip
def test_what_cannot_be_is_said_and_changes_nothing(question):
    ring = led()
    before = ring.ring.picture()
    answer = ring.answer(question)
    assert answer["said"] and answer["members"] == before["members"] and answer["past"] == before["past"]


def test_the_text_form_and_the_data_for_the_front_end():
    ring = Ring(3, 1)
    ring.do("run", SECONDS)
    ring.do("crash", 1)
    lines = text(ring.picture()).splitlines()
    assert "✗ 1 crashed" in lines and any("★" in line and "|" in line for line in lines)
    json.dumps(ring.picture())


PAGE = """<!doctype html><html lang="en"><head><title>ring</title></head><body><div id="root"></div></body></html>"""
RENDER = """async (code) => {
  const door = await import(URL.createObjectURL(new Blob([code], {type: "text/javascript"})));
  const listeners = [];
  const answer = async (question) => { const said = await window.python(question); listeners.forEach((hear) => hear(said)); };
  const model = {get: () => false, on: (_, hear) => listeners.push(hear), off() {}, send: answer};
  door.default.render({model, el: document.getElementById("root")});
}"""


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_in_a_browser_by_keyboard(scheme, tmp_path):
    ring = led(5)
    victim = max({1, 2, 3, 4, 5} - {ring.picture()["leader"]})
    style = front.source(front.STYLE) + front.source("ring.css")
    with browser.chromium() as chromium, browser.page(chromium, color_scheme=scheme) as page:
        page.expose_function("python", ring.answer)
        page.set_content(PAGE)
        page.add_style_tag(content=style)
        page.evaluate(RENDER, front.bundle("ring.js"))
        page.locator(f'[data-key="member-{victim}"]').wait_for()
        page.locator(f'[data-key="member-{victim}"]').focus()
        page.keyboard.press("Enter")
        page.get_by_role("button", name="crash").focus()
        page.keyboard.press("Enter")
        page.get_by_role("button", name="restart").wait_for()
        assert ring.picture()["members"][victim - 1]["role"] == "crashed"
        page.get_by_role("button", name="write").click()
        page.locator('[data-key^="message-"]').first.wait_for()
        page.locator('[data-key="group-1"]').select_option("B")
        page.get_by_role("button", name="cut", exact=True).click()
        page.locator(".ws-ring-cut").first.wait_for(state="attached")
        assert [1, 2] in ring.picture()["cut"] and [2, 3] not in ring.picture()["cut"]
        page.screenshot(path=str(tmp_path / f"{scheme}.png"))
        assert browser.serious(page) == []


def test_a_live_ring_outlives_its_cluster(monkeypatch):
    """The view stays in the notebook, and asks on."""
    ring = LiveRing(object())
    try:
        found = [MemberStatus("etcd-master-1", "leader", 2), MemberStatus("etcd-master-2", "follower", 2)]
        monkeypatch.setattr(ring.store, "status", lambda: found)
        shown = ring.answer({"ask": "look"})
        assert shown["quorum"] == "2 of 2 follow a leader, 2 are a majority"

        def gone():
            raise ClusterError("there is no cluster")

        monkeypatch.setattr(ring.store, "status", gone)
        shown = ring.answer({"ask": "look"})
        assert [(m["id"], m["role"]) for m in shown["members"]] == [("master-1", "away"), ("master-2", "away")]
        assert shown["quorum"] == "the cluster is gone"
    finally:
        ring.close()
