"""The instructor's page in a browser: live, escaped, and accessible in light and dark."""

import json
import urllib.request
from pathlib import Path

import pytest

from tests.views.browser import PATIENCE, chromium, page, serious

PICTURES = Path(__file__).resolve().parents[2] / "build" / "robot"
SECTIONS = ("open each one", "three truths", "stop kube-scheduler", "stop etcd")


def report(url, number, name, section, checks):
    body = {"secret": f"secret of learner {number:04}", "name": name, "lab": "tour", "section": section}
    data = json.dumps({**body, "checks": checks}).encode()
    request = urllib.request.Request(f"{url}/report", data, {"Authorization": "Bearer room-token"})
    urllib.request.urlopen(request, timeout=60).close()


def failed(found, tries, stuck):
    return {"passed": False, "tries": tries, "found": found, "stuck": stuck}


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_room_at_a_glance(server, scheme):
    url, _ = server
    solved = {"three truths": {"passed": True, "tries": 1}}
    for number in range(12):
        report(url, number, f"learner {number:02}", SECTIONS[number % 4], solved)
    late = failed("pod late has a node already: whoever gives nodes was running when it was made", 4, 540)
    report(url, 3, "Anna", "stop kube-scheduler", {**solved, "no node": late})
    report(url, 5, "Ben", "three truths", {"three truths": failed("there is no Deployment web", 2, 80)})
    with chromium() as browser, page(browser, color_scheme=scheme) as shown:
        shown.goto(f"{url}/?token=board-token")
        assert "token" not in shown.url
        shown.get_by_text("12 learners: 2 stuck, 10 working, 0 away").wait_for()
        rows = shown.locator("#rows tr")
        assert rows.nth(0).inner_text().split("\t")[1] == "Anna", "who is stuck longest comes first"
        assert "9 min, 4 tries" in rows.nth(0).inner_text()
        assert serious(shown) == []
        PICTURES.mkdir(parents=True, exist_ok=True)
        shown.screenshot(path=str(PICTURES / f"instructor-{scheme}.png"))
        hostile = "<img src=x onerror=alert(1)>"
        report(url, 99, hostile, SECTIONS[0], {})
        shown.get_by_text(hostile).wait_for()
        assert shown.locator("img").count() == 0
        report(url, 3, "Anna", "stop kube-scheduler", {**solved, "no node": {"passed": True, "tries": 5}})
        shown.get_by_text("13 learners: 1 stuck").wait_for()
        shown.get_by_label("Show").select_option("stuck")
        shown.wait_for_function("document.querySelectorAll('#rows tr').length === 1")


def test_a_lost_connection_is_said(server):
    url, _ = server
    with chromium() as browser:
        context = browser.new_context()
        context.set_default_timeout(PATIENCE)
        shown = context.new_page()
        shown.goto(f"{url}/?token=board-token")
        shown.get_by_text("waiting for the first learner").wait_for()
        shown.route("**/changes", lambda route: route.abort())
        shown.reload()
        shown.get_by_text("out of date").wait_for()
        context.close()
