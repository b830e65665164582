"""A hub with the room's own settings, two learners, and a lab server each: JupyterHub and its proxy on this machine."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import uuid
from pathlib import Path

import aiohttp
import pytest
from yarl import URL

from tests.ports import free_port

ROOT = Path(__file__).resolve().parents[2]
PASSWORD, ADMIN = "a-room-password", "an-administrator's-password-of-32-letters"
PROXY = "configurable-http-proxy@5.3.0"


def proxy(folder: str) -> str:
    """The directory of configurable-http-proxy, installed by npm where it is not there."""
    found = shutil.which("configurable-http-proxy")
    if found:
        return os.path.dirname(found)
    npm = shutil.which("npm")
    if npm is None:
        pytest.skip("configurable-http-proxy needs npm")
    command = [npm, "install", "--ignore-scripts", "--no-audit", "--no-fund", "--silent", PROXY]
    subprocess.run(command, cwd=folder, check=True)
    return f"{folder}/node_modules/.bin"


class Hub:
    """The address, and one signed-in session a learner."""

    def __init__(self, url: str, output: Path) -> None:
        self.url, self.output = url, output

    @contextlib.asynccontextmanager
    async def learner(self, name: str, password: str = PASSWORD):
        async with aiohttp.ClientSession(cookie_jar=aiohttp.CookieJar(unsafe=True)) as session:
            async with session.get(f"{self.url}/hub/login") as page:
                token = re.search(r'name="_xsrf" value="([^"]+)"', await page.text())
            form = {"username": name, "password": password, "_xsrf": token[1]}
            async with session.post(f"{self.url}/hub/login?next=/hub/home", data=form) as answer:
                session.status = answer.status
            yield session

    async def started(self, session: aiohttp.ClientSession, name: str) -> None:
        """Ask for a server and follow the hub until it is there; then sign in to it."""
        async with session.get(f"{self.url}/hub/spawn") as page:
            assert page.status == 200, await page.text()
        async with asyncio.timeout(150):
            while True:
                async with session.get(f"{self.url}/user/{name}/api/status") as answer:
                    if answer.status == 200 and answer.url.path == f"/user/{name}/api/status":
                        return
                async with session.get(f"{self.url}/user/{name}/lab") as page:  # through the hub's OAuth
                    await page.read()
                await asyncio.sleep(0.5)  # the page that a browser would look at again


@pytest.fixture(scope="module")
def hub_settings():
    pytest.importorskip("jupyterhub", reason="jupyterhub is not installed")
    with tempfile.TemporaryDirectory(prefix="ws-hub-") as folder:
        yield folder, proxy(folder)


@pytest.fixture
async def hub(hub_settings):
    folder, where = hub_settings
    port, api, internal, board = (free_port() for _ in range(4))
    output = Path(folder, "log")
    environment = {
        **os.environ, "PATH": f"{where}:{os.path.dirname(sys.executable)}:{os.environ['PATH']}",
        "PYTHONPATH": str(ROOT), "SPAWNER": "simple", "ROOM_PASSWORD": PASSWORD, "ADMIN_PASSWORD": ADMIN, "CULL": "no",
        "ADDRESS": f"http://127.0.0.1:{port}", "HOMES": f"{folder}/homes", "LABS": str(ROOT / "labs"),
        "BOARD_ADDRESS": f"127.0.0.1:{board}", "BOARD_TOKEN": "a-token-of-the-board", "LEARNERS_TOKEN": "of-the-learners",
    }  # fmt: skip
    command = [sys.executable, "-m", "jupyterhub", "-f", str(ROOT / "deploy/room/jupyterhub_config.py"),
               f"--ConfigurableHTTPProxy.api_url=http://127.0.0.1:{api}", f"--JupyterHub.hub_port={internal}",
               "--JupyterHub.cleanup_servers=True"]  # fmt: skip
    with open(output, "wb") as log:
        process = subprocess.Popen(command, cwd=folder, env=environment, stdout=log, stderr=log, start_new_session=True)
    try:
        made = Hub(f"http://127.0.0.1:{port}", output)
        async with asyncio.timeout(120), aiohttp.ClientSession() as session:
            while True:
                assert process.poll() is None, output.read_text()[-3000:]
                with contextlib.suppress(aiohttp.ClientError):
                    async with session.get(f"{made.url}/hub/health") as answer:
                        if answer.status == 200 and answer.url.path == "/hub/health":
                            break
                await asyncio.sleep(0.1)  # it tells nobody that it listens
        yield made
    finally:
        process.terminate()
        try:
            process.wait(60)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        # a hub that failed leaves its proxy, in a session of its own
        with contextlib.suppress(OSError, ValueError):
            os.kill(int(Path(folder, "jupyterhub-proxy.pid").read_text()), signal.SIGKILL)


async def run(session: aiohttp.ClientSession, url: str, code: str) -> str:
    """What `code` prints in a new kernel of that server."""
    token = next((c.value for c in session.cookie_jar.filter_cookies(URL(f"{url}/")).values() if c.key == "_xsrf"), "")
    headers = {"X-XSRFToken": token}
    async with session.post(f"{url}/api/kernels", json={"name": "python3"}, headers=headers) as answer:
        assert answer.status == 201, await answer.text()
        kernel = (await answer.json())["id"]
    message = {
        "header": {"msg_id": uuid.uuid4().hex, "msg_type": "execute_request", "version": "5.3", "session": "s", "username": ""},
        "parent_header": {}, "metadata": {}, "channel": "shell",
        "content": {"code": code, "silent": False, "store_history": False, "allow_stdin": False},
    }  # fmt: skip
    said = ""
    async with asyncio.timeout(60), session.ws_connect(f"{url}/api/kernels/{kernel}/channels") as socket_:
        await socket_.send_json(message)
        async for one in socket_:
            told = json.loads(one.data)
            if told["parent_header"].get("msg_id") != message["header"]["msg_id"]:
                continue
            if told["msg_type"] == "stream":
                said += told["content"]["text"]
            elif told["msg_type"] == "error":
                raise AssertionError("\n".join(told["content"]["traceback"]))
            elif told["msg_type"] == "status" and told["content"]["execution_state"] == "idle":
                return said
    raise AssertionError("the kernel went away")


SOLVED = (
    "from workshop.lessons.progress import Progress; p = Progress(); p.record('tour', 'three truths', passed=True); "
)
SHOWN = "from workshop.lessons.progress import Progress; p = Progress(); "
SAY = "print(p.name, sorted(p.labs()), p.path.parent.parent.parent.parent.name)"


async def test_two_learners_have_a_lab_server_and_progress_of_their_own(hub):
    async with hub.learner("anna") as anna, hub.learner("ben") as ben, hub.learner("eve", "wrong-password") as eve:
        assert (anna.status, ben.status, eve.status) == (200, 200, 403)
        await asyncio.gather(hub.started(anna, "anna"), hub.started(ben, "ben"))
        for session, name in ((anna, "anna"), (ben, "ben")):
            async with session.get(f"{hub.url}/user/{name}/api/contents/labs") as answer:
                assert {"index.ipynb", "00-tour.ipynb"} <= {e["name"] for e in (await answer.json())["content"]}
        async with ben.get(f"{hub.url}/user/anna/api/contents/labs") as answer:
            assert answer.status in (403, 404)  # nobody looks into another's server
        solved, shown = await asyncio.gather(
            run(anna, f"{hub.url}/user/anna", SOLVED + SAY), run(ben, f"{hub.url}/user/ben", SHOWN + SAY)
        )
        assert (solved, shown) == ("anna ['tour'] anna\n", "ben [] ben\n")

        # the instructor's board is a service of the hub, behind its own token
        async with aiohttp.ClientSession(cookie_jar=aiohttp.CookieJar(unsafe=True)) as stranger:
            async with stranger.get(f"{hub.url}/services/board/") as answer:
                assert answer.status in (401, 403)
            async with stranger.get(f"{hub.url}/services/board/?token=a-token-of-the-board") as answer:
                assert answer.status == 200 and "html" in answer.headers["Content-Type"]
        joined = await run(
            anna,
            f"{hub.url}/user/anna",
            "import os; from workshop.lessons import cli; from argparse import Namespace\n"
            "print(cli.join(Namespace(url=os.environ['WORKSHOP_INSTRUCTOR_URL'], token='', learner='')))",
        )
        assert "anna has joined" in joined and joined.rstrip().endswith("0")


def test_a_password_that_is_too_short_is_refused_in_words():
    pytest.importorskip("jupyterhub", reason="jupyterhub is not installed")
    environment = {**os.environ, "ROOM_PASSWORD": "short", "ADMIN_PASSWORD": ADMIN}
    command = [
        sys.executable,
        "-m",
        "jupyterhub",
        "-f",
        str(ROOT / "deploy/room/jupyterhub_config.py"),
        "--show-config",
    ]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, cwd="/tmp")
    assert done.returncode != 0 and "set ROOM_PASSWORD, with 8 letters at least" in done.stdout + done.stderr
