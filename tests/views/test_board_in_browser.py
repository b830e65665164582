"""The board as a learner sees it: `workshop board` on a living cluster, in Chromium."""

import asyncio
import copy
import json
import os
import signal
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from workshop.client.rest import Client
from workshop.cluster import observer
from workshop.cluster.facade import Cluster

from . import browser as browsers

pytestmark = pytest.mark.cluster
ROOT = Path(__file__).resolve().parents[2]
WEB = {
    "apiVersion": "apps/v1",
    "kind": "Deployment",
    "metadata": {"name": "web", "namespace": "default"},
    "spec": {
        "replicas": 2,
        "selector": {"matchLabels": {"app": "web"}},
        "template": {
            "metadata": {"labels": {"app": "web"}},
            "spec": {
                "containers": [
                    {
                        "name": "web",
                        "image": "nginx",
                        # one that is ready stays so, one that begins becomes so: both unless the test holds it
                        "readinessProbe": {
                            "exec": {"command": ["sh", "-c", 'test ! -e "$HOLD/$HOSTNAME"']},
                            "periodSeconds": 1,
                            "failureThreshold": 100,
                        },
                    }
                ]
            },
        },
    },
}
SERVICE = {
    "apiVersion": "v1",
    "kind": "Service",
    "metadata": {"name": "web", "namespace": "default"},
    "spec": {"selector": {"app": "web"}, "ports": [{"port": 80}]},
}
AGREE = """name => { const row = document.getElementById('board').view.time.rows.get(`Deployment/default/${name}`);
  return row && row.desired > 0 && row.next === '' && row.reported === row.desired && row.observed === row.desired }"""


@pytest.fixture(scope="module")
def browser():
    with browsers.chromium() as found:
        yield found


@pytest.fixture(scope="module")
def cluster():
    with tempfile.TemporaryDirectory(prefix="ws-") as folder:
        before = os.environ.get("WORKSHOP_HOME")
        os.environ["WORKSHOP_HOME"] = folder
        made = Cluster("board")
        try:
            made.up(mode="plain", nodes=2, lab=True)
            yield made
        finally:
            made.down(purge=True)
            os.environ.pop("WORKSHOP_HOME")
            if before is not None:
                os.environ["WORKSHOP_HOME"] = before


@pytest.fixture(scope="module")
def served(cluster):
    """(address, process) of `workshop board`."""
    command = [sys.executable, "-m", "workshop", "board", "--name", cluster.name]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1"}
    process = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True)
    line = process.stdout.readline()
    yield line.rpartition(" ")[2].strip(), process
    process.send_signal(signal.SIGTERM)
    process.wait(60)
    process.stdout.close()


@pytest.fixture(scope="module")
def hold(tmp_path_factory):
    """A folder; a container of the pod that a file in it is named after does not become ready."""
    return tmp_path_factory.mktemp("hold")


@pytest.fixture(scope="module")
def web(cluster, served, hold):
    """A Deployment and a Service, made while somebody listens."""
    made = copy.deepcopy(WEB)
    made["spec"]["template"]["spec"]["containers"][0]["env"] = [{"name": "HOLD", "value": str(hold)}]
    post(cluster, "/apis/apps/v1/namespaces/default/deployments", made)
    post(cluster, "/api/v1/namespaces/default/services", SERVICE)


def post(cluster, path, obj):
    async def once():
        async with Client.from_kubeconfig(str(cluster.kubeconfig())) as client:
            await client.request("POST", path, body=obj)

    with ThreadPoolExecutor(1) as thread:  # Playwright has a loop of its own on this one
        thread.submit(lambda: asyncio.run(once())).result()


@pytest.fixture
def page(browser, served, web):
    with browsers.page(browser) as found:
        found.goto(served[0])
        found.wait_for_selector(".ws-status.is-live")
        found.wait_for_function(AGREE, arg="web")
        yield found


def steps(page, key):
    """What a workload's row went through, in order: [(desired, reported, observed, next)]."""
    found = page.evaluate(
        """key => document.getElementById('board').view.time.steps.map(step => step.put[key]).filter(row => row)
             .map(row => [row.desired, row.reported, row.observed, row.next])""",
        key,
    )
    return [tuple(one) for one in found]


def test_the_three_columns_and_what_axe_says_of_them(page):
    line = page.locator('tr[data-key="Deployment/default/web"]')
    browsers.shows(line, "all agree")  # what the model knows is painted a moment later
    assert line.locator(".ws-number").all_inner_texts() == ["2", "2", "2"]
    names = page.locator(".ws-chip-name").all_inner_texts()
    assert names[:4] == ["etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler"]
    assert browsers.serious(page) == []
    page.emulate_media(color_scheme="dark")
    assert browsers.serious(page) == []


def test_click_through_the_map_to_yaml_events_owners_and_writes(page):
    page.get_by_role("tab", name="Map").click()
    pod = page.locator('[data-key^="Pod/default/web-"]').first
    key = pod.get_attribute("data-key")
    pod.click()
    details = page.locator(".ws-inspect")
    details.get_by_text("writes that made it").wait_for()
    browsers.shows(details, "kind: Pod", "Deployment/web", "ReplicaSet/web-", key.rpartition("/")[2])
    browsers.shows(details, "kube-scheduler", "binding", "Scheduled")
    assert browsers.serious(page) == []
    details.get_by_text("Deployment/web").click()
    page.locator(".ws-inspect-title", has_text="Deployment").wait_for()


def test_the_causes_lead_from_kubectl_to_the_kubelet(page):
    page.locator('tr[data-key="Deployment/default/web"]').click()
    page.get_by_role("button", name="Causes").click()
    page.locator(".ws-swim-svg").wait_for()
    order = ["create Deployment web", "deployment-controller (kube-controller-manager): create ReplicaSet",
             "replicaset-controller (kube-controller-manager): create Pod", "binding", "kubelet"]  # fmt: skip
    page.wait_for_function(
        """parts => { const words = [...document.querySelectorAll('.ws-swim ol li')].map(line => line.textContent);
             return parts.every(part => words.some(line => line.includes(part))) }""",
        arg=order,
    )
    words = page.locator(".ws-swim ol li").all_text_contents()
    places = [next(i for i, line in enumerate(words) if part in line) for part in order]
    assert places == sorted(places), words
    assert browsers.serious(page) == []


def test_the_keyboard_reaches_everything(page):
    page.locator(".ws-tab[aria-selected=true]").focus()
    page.keyboard.press("ArrowRight")
    assert page.locator(".ws-tab[aria-selected=true]").inner_text() == "Map"
    page.locator(".ws-map").focus()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowRight")
    said = page.locator(".ws-map [aria-live]").text_content()
    assert said.startswith("Process ")
    page.keyboard.press("Enter")
    page.locator(".ws-inspect-title").wait_for()
    assert page.locator(".ws-inspect-title span").inner_text() in said
    page.keyboard.press("Escape")
    assert page.locator(".ws-inspect").is_hidden()
    page.keyboard.press("ArrowDown")
    assert page.locator(".ws-map [aria-live]").text_content() != said


def test_kill_nine_is_seen_step_by_step_and_can_be_replayed_slowly(page, cluster, hold):
    key = "Deployment/default/web"
    before = len(steps(page, key))
    victim = next(row for row in observer.containers(cluster.plan(), cluster.layout) if row["name"].startswith("web-"))
    # controllers act on levels, not on edges: its successor is not ready before all have said so
    (hold / victim["name"]).touch()
    os.kill(victim["pid"], signal.SIGKILL)
    rows = "const rows = document.getElementById('board').view.time.steps.map(s => s.put[key]).filter(r => r).slice(before)"
    page.wait_for_function(
        f"([key, before]) => {{ {rows}; return rows.some(r => r.reported === 1) && rows.some(r => r.observed === 1) }}",
        arg=[key, before],
    )
    (hold / victim["name"]).unlink()
    page.wait_for_function(
        f"([key, before]) => {{ {rows}; return rows.at(-1).next === '' && rows.at(-1).reported === 2 }}",
        arg=[key, before],
    )
    seen = steps(page, key)[before:]
    assert seen[0][:3] == (2, 2, 1), "the third column changes first"
    assert seen[0][3].startswith("kubelet-node-") and victim["name"] in seen[0][3]
    reported = next(place for place, row in enumerate(seen) if row[1] == 1)
    assert reported > 0, "then the second"
    assert seen[-1] == (2, 2, 2, ""), "then they meet again"
    # replayed slowly, each of those steps stands on the screen
    page.select_option(".ws-pace", "333")
    page.get_by_role("button", name="Replay slowly").click()
    page.wait_for_function(
        f"""() => [...document.querySelectorAll('tr[data-key="{key}"] .ws-number')].map(n => n.textContent).join() === '2,2,1'
             && document.querySelector('.ws-status').innerText.startsWith('paused at')"""
    )
    page.get_by_role("button", name="Back to live").click()
    page.wait_for_function(
        f"""() => [...document.querySelectorAll('tr[data-key="{key}"] .ws-number')].map(n => n.textContent).join() === '2,2,2'"""
    )


def test_scrubbing_back_beyond_the_attachment_to_the_edge(page):
    page.get_by_role("button", name="Pause").click()
    page.get_by_role("button", name="Earlier").click()
    page.wait_for_function("() => document.getElementById('board').view.time.attached > 0")
    page.locator(".ws-range").focus()
    page.keyboard.press("Home")
    page.wait_for_function("""() => !document.querySelector('tr[data-key="Deployment/default/web"]')""")
    browsers.shows(page.locator(".ws-when-now"), "revision")
    # a step that comes between the drawing of the bar and the key: the end of the time line is now all the same
    page.evaluate(
        "() => { const { time } = document.getElementById('board').view; time.push([{ at: time.at, put: {}, drop: [] }], false) }"
    )
    page.keyboard.press("End")
    page.wait_for_selector('tr[data-key="Deployment/default/web"]')
    page.wait_for_selector(".ws-status.is-live")


def test_a_paused_and_a_stopped_component_have_shapes_of_their_own(page, cluster):
    page.wait_for_function(
        """() => /running|leads/.test(document.querySelector('.ws-chip[data-key="Process//kube-scheduler"]').textContent)"""
    )
    cluster.pause("kube-scheduler")
    page.wait_for_function(
        """() => document.querySelector('.ws-chip[data-key="Process//kube-scheduler"]').textContent.includes('paused')"""
    )
    cluster.resume("kube-scheduler")
    cluster.stop("kube-scheduler")
    page.wait_for_function(
        """() => document.querySelector('.ws-chip[data-key="Process//kube-scheduler"]').textContent.includes('stopped')"""
    )
    cluster.start("kube-scheduler")
    page.wait_for_function(
        """() => !document.querySelector('.ws-chip[data-key="Process//kube-scheduler"]').classList.contains('tone-bad')"""
    )


def test_connections_through_a_service_are_seen(page, cluster):
    import socket

    row = page.evaluate("() => document.getElementById('board').view.time.rows.get('Service/default/web')")
    port = 80 if os.geteuid() == 0 else 10080
    with socket.create_connection((row["ip"], port), 60):
        page.wait_for_function(
            "() => document.getElementById('board').view.time.rows.get('Service/default/web').open > 0"
        )
        page.wait_for_function(
            "() => document.getElementById('board').view.time.rows.get('Service/default/web').endpoints.some(e => e.open)"
        )
    page.wait_for_function(
        "() => document.getElementById('board').view.time.rows.get('Service/default/web').open === 0"
    )


def test_embedded_in_a_page_of_this_machine(browser, served, web, tmp_path):
    frame = tmp_path / "slide.html"
    frame.write_text(
        f"<!doctype html><title>slide</title><iframe title='board' src='{served[0]}&embed' width=900 height=500></iframe>"
    )
    with browsers.page(browser) as page:
        page.goto(frame.as_uri())
        page.frame_locator("iframe").locator(".ws-status.is-live").wait_for()


def test_a_page_whose_server_died_says_so_by_itself(browser, cluster, web):
    """Last: it needs a server of its own, and kills it."""
    command = [sys.executable, "-m", "workshop", "board", "--name", cluster.name]
    process = subprocess.Popen(command, env={**os.environ, "PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1"}, stdout=subprocess.PIPE, text=True)  # fmt: skip
    try:
        url = process.stdout.readline().rpartition(" ")[2].strip()
        assert json.loads((cluster.layout.root / "run" / "board.json").read_text())["url"] == url
        context = browser.new_context()
        page = context.new_page()
        page.set_default_timeout(browsers.PATIENCE)
        page.goto(url)
        page.wait_for_selector(".ws-status.is-live")
        process.send_signal(signal.SIGSTOP)  # it neither answers nor closes: only the missing beat tells
        page.wait_for_selector(".ws-status.is-stale")
        browsers.shows(page.locator(".ws-status"), "nothing heard for")
        assert page.locator('tr[data-key="Deployment/default/web"]').is_visible(), "the last picture stays"
        process.send_signal(signal.SIGCONT)
        page.wait_for_selector(".ws-status.is-live")
        process.kill()
        page.wait_for_selector(".ws-status.is-stale")
        context.close()
    finally:
        process.kill()
        process.wait()
        process.stdout.close()
