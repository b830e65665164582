"""The instructor's board: rows, bounds, tokens, identity, the page, and the learner's side."""

import json
import threading
import urllib.error
import urllib.request

import pytest

from workshop.cluster.layout import ClusterError
from workshop.lessons.instructor import reporter
from workshop.lessons.instructor.room import MAX_LEARNERS, Refused, Room

SECRET = "s" * 20


def body(secret=SECRET, name="Anna", section="stop etcd", lab="tour", **checks):
    return {"secret": secret, "name": name, "lab": lab, "section": section, "checks": checks}


def failed(tries=1, stuck=0):
    return {"passed": False, "tries": tries, "found": "there is no pod late", "stuck": stuck}


def test_who_is_where_and_stuck_for_how_long():
    room = Room()
    room.report(body(), 100.0)
    room.report(body(**{"no node": failed()}), 160.0)
    room.report(body("b" * 20, "Ben"), 170.0)
    rows = room.rows(200.0)
    assert [(row["name"], row["state"], row["check"], row["stuck"], row["here"]) for row in rows] == [
        ("Anna", "stuck", "no node", 40, 100),
        ("Ben", "working", "", 0, 30),
    ]
    assert rows[0]["found"] == "there is no pod late" and rows[0]["tries"] == 1
    room.report(body(**{"no node": {"passed": True, "tries": 2}}), 210.0)
    assert [(row["name"], row["state"], row["solved"]) for row in room.rows(210.0)][1:] == [("Ben", "working", 0)]
    assert {row["name"]: row["solved"] for row in room.rows(210.0)}["Anna"] == 1
    assert {row["state"] for row in room.rows(1000.0)} == {"away"}


def test_a_server_that_was_started_anew_knows_since_when():
    room = Room()
    room.report(body(**{"no node": failed(3, stuck=240)}), 10.0)
    assert room.rows(20.0)[0]["stuck"] == 250


def test_identity_is_the_secret_and_names_are_for_show():
    room = Room()
    first = room.report(body(), 1.0)
    second = room.report(body("b" * 20, "Anna"), 1.0)
    assert first != second and SECRET not in json.dumps(room.rows(1.0))
    room.report(body("b" * 20, "Mallory"), 2.0)
    assert room.learners[first].name == "Anna"


@pytest.mark.parametrize("wrong", [[], {}, {"secret": "short"}, {"secret": 3}])
def test_odd_reports_are_refused(wrong):
    with pytest.raises(Refused):
        Room().report(wrong, 0.0)


def test_nothing_grows_without_bounds():
    room = Room()
    room.report(body(name="x" * 5000, section="\x00\n<b>", **{f"c{n}": failed() for n in range(500)}), 0.0)
    learner = next(iter(room.learners.values()))
    assert len(learner.name) == 200 and learner.section == "<b>" and len(learner.checks) == 40
    for number in range(1, MAX_LEARNERS):
        room.report(body(f"{number:020}"), 1.0)
    with pytest.raises(Refused, match="full"):
        room.report(body("z" * 20), 2.0)
    room.report(body("z" * 20), 500.0)  # somebody has gone meanwhile
    assert len(room.learners) == MAX_LEARNERS
    odd = {"no node": {"passed": "x", "tries": -4, "found": 7, "stuck": float("nan")}}
    room.report({**body("z" * 20), "checks": odd}, 501.0)


class NoRedirect(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *arguments):
        return None


def fetch(url, token="", data=None, cookie=""):
    request = urllib.request.Request(url, data, {"Authorization": f"Bearer {token}", "Cookie": cookie})
    try:
        with urllib.request.build_opener(NoRedirect).open(request, timeout=60) as answer:
            return answer.status, dict(answer.headers), answer.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, dict(error.headers), error.read().decode()


def test_the_page_is_behind_the_token(server):
    url, _ = server
    assert fetch(f"{url}/")[0] == 401
    assert fetch(f"{url}/?token=wrong")[0] == 401
    assert fetch(f"{url}/learners.json", "room-token")[0] == 401, "a learner's token opens no board"
    status, headers, _ = fetch(f"{url}/?token=board-token")
    assert (status, headers["location"]) == (303, "/")
    assert "HttpOnly" in headers["set-cookie"] and "SameSite=Strict" in headers["set-cookie"]
    cookie = headers["set-cookie"].partition(";")[0]
    status, headers, page = fetch(f"{url}/", cookie=cookie)
    assert status == 200 and "default-src 'none'" in headers["content-security-policy"]
    assert "<script src" in page and "<script>" not in page and "style=" not in page
    assert fetch(f"{url}/page.js", cookie=cookie)[0] == fetch(f"{url}/page.css", cookie=cookie)[0] == 200
    assert fetch(f"{url}/../server.py", cookie=cookie)[0] == 404
    assert fetch(f"{url}/", "board-token", data=b"{}")[0] == 405


def test_reports_and_changes(server):
    url, _ = server
    assert fetch(f"{url}/report", "wrong", json.dumps(body()).encode())[0] == 401
    assert fetch(f"{url}/report", "room-token", b"{")[0] == 400
    assert fetch(f"{url}/report", "room-token", b"x" * 100_000)[0] == 413
    request = urllib.request.Request(f"{url}/changes", headers={"Authorization": "Bearer board-token"})
    with urllib.request.urlopen(request, timeout=60) as stream:
        first = json.loads(stream.readline().removeprefix(b"data: "))
        assert first == {"whole": True, "learners": []}
        stream.readline()
        assert fetch(f"{url}/report", "room-token", json.dumps(body(name="<b>Anna")).encode())[0] == 204
        news = json.loads(stream.readline().removeprefix(b"data: "))
    assert news["whole"] is False and [row["name"] for row in news["learners"]] == ["<b>Anna"]
    _, _, text = fetch(f"{url}/learners.json", "board-token")
    assert json.loads(text)["learners"][0]["section"] == "stop etcd"


def test_a_learner_joins_tells_and_leaves(server, home, lab, monkeypatch):
    url, app = server
    assert reporter.joined() is None
    lab.section("open each one")
    assert lab._reporter._thread is None, "nothing is told before somebody joins"
    with pytest.raises(ClusterError, match="not this room's token"):
        reporter.join(url, "wrong", "Anna")
    with pytest.raises(ClusterError, match="begins with http"):
        reporter.join("ftp://there", "room-token")
    reporter.join(url, "room-token", "Anna")
    assert (home / "instructor.json").stat().st_mode & 0o777 == 0o600
    reported = threading.Event()
    real = app.room.report

    def seen(told, now):
        id = real(told, now)
        if told["checks"]:
            reported.set()
        return id

    app.room.report = seen
    lab.predict("who?", "an answer that stays at home")
    monkeypatch.setattr(lab, "_judge", lambda exercise, limit, indicator: __import__(
        "workshop.lessons.exercise", fromlist=["Finding"]).Finding("the pods", "there is no pod late"))  # fmt: skip
    lab.check("no node")
    assert reported.wait(60)
    (row,) = app.room.rows(app.clock.monotonic())
    assert (row["name"], row["lab"], row["section"], row["check"]) == ("Anna", "tour", "open each one", "no node")
    assert "stays at home" not in json.dumps(app.room.rows(0.0))
    assert reporter.leave() and reporter.joined() is None


def test_a_board_that_does_not_answer_holds_up_nobody(home, lab, monkeypatch):
    monkeypatch.setenv("WORKSHOP_INSTRUCTOR", "http://127.0.0.1:9")
    monkeypatch.setenv("WORKSHOP_INSTRUCTOR_TOKEN", "token-of-the-room")
    lab.section("open each one")
    with pytest.raises(ClusterError, match="does not answer"):
        reporter.send(reporter.joined(), {"lab": "tour"})
