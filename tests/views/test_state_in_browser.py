"""The front end's log of steps, as the browser runs it: bounded, and the same forwards and backwards."""

import pytest

from workshop.views import front

from . import browser as browsers

pytestmark = pytest.mark.cluster  # it needs no cluster, but a browser


@pytest.fixture(scope="module")
def page():
    with browsers.chromium() as chromium:
        found = chromium.new_page()
        found.goto("about:blank")
        source = "".join(front.source(name) for name in ("yaml.js", "state.js")).replace("export ", "")
        found.add_script_tag(content=f"{source}\nObject.assign(window, {{ Timeline, yaml, difference }});")
        yield found


FILL = """count => {
  const time = new Timeline(1000);
  time.whole({ whole: { 'A//a': { n: 0 } }, seq: 0, at: 1, version: 5 });
  for (let i = 1; i <= count; i++) time.batch({ base: i - 1, seq: i, steps: [{ at: i, put: { 'A//a': { n: i }, [`B//${i % 7}`]: { n: i } }, drop: i % 7 ? [`B//${(i + 3) % 7}`] : [] }] });
  window.time = time;
  return [time.changes, time.steps.length];
}"""


def test_the_log_is_bounded_and_forgets_the_oldest(page):
    changes, steps = page.evaluate(FILL, 2000)
    assert changes <= 1000 and steps > 200
    assert page.evaluate("() => [time.live, time.rows.get('A//a').n]") == [True, 2000]
    page.evaluate("() => time.seek(0)")
    oldest = page.evaluate("() => time.rows.get('A//a').n")
    assert oldest == 2000 - steps


def test_back_and_forth_is_the_same_picture(page):
    page.evaluate(FILL, 300)
    same = page.evaluate(
        """() => { const picture = () => JSON.stringify([...time.rows].sort());
             const forwards = []; time.seek(0); for (let i = 0; i <= time.steps.length; i++) { time.seek(i); forwards.push(picture()); }
             for (let i = time.steps.length; i >= 0; i--) { time.seek(i); if (picture() !== forwards[i]) return i; }
             time.seek(37); if (picture() !== forwards[37]) return 'jump'; time.seek(1e9); return forwards.length; }"""
    )
    assert same > 200


def test_while_it_is_paused_steps_gather_and_a_gap_is_noticed(page):
    page.evaluate(FILL, 10)
    page.evaluate(
        "() => { time.frozen = true; time.batch({ base: 10, seq: 11, steps: [{ at: 11, put: { 'A//a': { n: 11 } }, drop: [] }] }); }"
    )
    assert page.evaluate("() => [time.live, time.rows.get('A//a').n, time.steps.length]") == [False, 10, 11]
    assert page.evaluate("() => time.batch({ base: 15, seq: 16, steps: [] })") is False
    page.evaluate("() => time.whole({ whole: { 'A//a': { n: 20 } }, seq: 20, at: 20 })")
    assert page.evaluate("() => [time.rows.get('A//a').n, time.steps.length]") == [10, 12]
    page.evaluate("() => { time.frozen = false; time.seek(1e9); }")
    assert page.evaluate("() => [...time.rows].length") == 1


def test_pictures_from_before_stand_in_front_of_the_log(page):
    page.evaluate(FILL, 5)
    page.evaluate(
        "() => time.prepend([{ version: 1, at: 0.1, rows: {} }, { version: 3, at: 0.5, rows: { 'A//a': { n: -1 } } }], 1)"
    )
    assert page.evaluate("() => [time.attached, time.steps.length, time.rows.get('A//a').n]") == [2, 7, 5]
    seen = page.evaluate(
        "() => { const out = []; for (let i = 0; i <= 7; i++) { time.seek(i); out.push(time.rows.get('A//a')?.n ?? null); } return out; }"
    )
    assert seen == [None, -1, 0, 1, 2, 3, 4, 5]


def test_yaml_is_what_kubectl_prints_and_reads_back(page):
    import yaml

    obj = {"kind": "Pod", "spec": {"args": ["-c", "a: b", "yes", "", "l1\nl2\n"], "n": 1, "empty": {}, "none": None, "list": [[1], {"a": []}],
           "quoted": "1", "time": "2026-01-31T09:00:00Z", "hash": "a #b", "odd key:": True}}  # fmt: skip
    assert yaml.safe_load(page.evaluate("obj => yaml(obj)", obj)) == obj
