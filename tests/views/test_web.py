"""The board's web page: who may read it."""

import asyncio
import json

import pytest
from wsproto import ConnectionType, WSConnection
from wsproto.events import AcceptConnection, RejectConnection, Request, TextMessage

from workshop.views import front
from workshop.views.board import Board
from workshop.views.web import serving_board

TOKEN = "right-token"


@pytest.fixture
async def served(tmp_path):
    """(port, address) of a board whose cluster is not there: the page is served all the same."""
    board = Board.attach(tmp_path / "no<b>thing.conf")
    async with serving_board(board, TOKEN) as url:
        yield int(url.split(":")[2].split("/")[0]), url
    board.close()


async def get(port, path, host=None, method="GET"):
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(
        f"{method} {path} HTTP/1.1\r\nHost: {host or f'127.0.0.1:{port}'}\r\nConnection: close\r\n\r\n".encode()
    )
    head, _, body = (await reader.read()).partition(b"\r\n\r\n")
    writer.close()
    lines = head.decode().split("\r\n")
    headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines[1:])}
    return int(lines[0].split()[1]), headers, body.decode()


async def websocket(port, query, origin=None, host=None):
    """The whole picture that a live connection was sent (a beat may come before it), or the number of its refusal."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    peer = WSConnection(ConnectionType.CLIENT)
    headers = [] if origin == "" else [(b"origin", (origin or f"http://127.0.0.1:{port}").encode())]
    writer.write(peer.send(Request(host=host or f"127.0.0.1:{port}", target=f"/live?{query}", extra_headers=headers)))
    try:
        while True:
            data = await asyncio.wait_for(reader.read(65536), 60)
            peer.receive_data(data or None)
            for event in peer.events():
                if isinstance(event, RejectConnection):
                    return event.status_code
                if isinstance(event, AcceptConnection):
                    writer.write(peer.send(TextMessage(data='{"ask": "whole"}')))
                    writer.write(peer.send(TextMessage(data="no JSON")))
                elif isinstance(event, TextMessage) and "whole" in (message := json.loads(event.data)):
                    return message
    finally:
        writer.close()


async def test_the_page_is_served_with_the_token_only(served):
    port, _ = served
    status, headers, body = await get(port, f"/?token={TOKEN}")
    assert status == 200 and "/front/page.js" in body
    assert "script-src 'self'" in headers["content-security-policy"]
    assert "frame-ancestors 'none'" in headers["content-security-policy"]
    assert headers["referrer-policy"] == "no-referrer" and headers["cache-control"] == "no-store"
    for query in ("", "?token=", "?token=wrong", f"?token={TOKEN}x"):
        assert (await get(port, f"/{query}"))[0] == 403


async def test_only_pages_of_this_machine_may_frame_it_and_only_when_asked(served):
    _, headers, _ = await get(served[0], f"/?token={TOKEN}&embed")
    policy = headers["content-security-policy"].rpartition("frame-ancestors ")[2]
    assert "http://127.0.0.1:*" in policy and "https://*" not in policy and " * " not in f" {policy} "


async def test_another_host_name_is_refused_whatever_it_knows(served):
    port, _ = served
    for host in ("evil.example", f"evil.example:{port}", "127.0.0.1", f"127.0.0.1.evil.example:{port}"):
        assert (await get(port, f"/?token={TOKEN}", host))[0] == 421
        assert (await websocket(port, f"token={TOKEN}", host=host)) == 403
    assert (await get(port, f"/?token={TOKEN}", f"localhost:{port}"))[0] == 200


async def test_a_foreign_page_gets_no_live_connection(served):
    port, _ = served
    assert "whole" in await websocket(port, f"token={TOKEN}")
    for origin in (
        "http://evil.example",
        "null",
        "",
        f"http://127.0.0.1:{port + 1}",
        f"http://127.0.0.1:{port}.evil.example",
    ):
        assert await websocket(port, f"token={TOKEN}", origin) == 403
    assert await websocket(port, "token=wrong") == 403
    assert await websocket(port, "") == 403


async def test_nothing_but_the_front_ends_files_is_served(served):
    port, _ = served
    for name in front.names():
        assert (await get(port, f"/front/{name}"))[0] == 200
    for path in ("/front/__init__.py", "/front/../web.py", "/front/%2e%2e/web.py", "/front/", "/etc/passwd", "/live"):
        assert (await get(port, path))[0] == 404
    assert (await get(port, f"/?token={TOKEN}", method="POST"))[0] == 405


async def test_what_a_cluster_is_called_is_text_not_html(served):
    _, _, body = await get(served[0], f"/?token={TOKEN}")
    assert "no&lt;b&gt;thing" in body and "no<b>thing" not in body


async def test_a_kubeconfig_that_cannot_be_used_is_told_by_the_board(served):
    whole = await websocket(served[0], f"token={TOKEN}")
    assert "cannot be used" in whole["problem"] and whole["synced"] is False


def test_the_bundle_is_every_module_once_and_names_clash_nowhere():
    import re

    bundle = front.bundle("widget.js")
    assert "import {" not in bundle and bundle.count("export ") == 1 and bundle.count("class View") == 1
    names = re.findall(r"^(?:class|function|const|let) ([\w$]+)", bundle, re.MULTILINE)
    assert len(names) == len(set(names)), sorted(name for name in set(names) if names.count(name) > 1)
    ours = ("columns", "dom", "inspect", "map", "paint", "signs", "state", "swimlanes", "view", "widget", "yaml")
    assert {name for name in front.names() if f"// {name}\n" in bundle} == {f"{name}.js" for name in ours}
