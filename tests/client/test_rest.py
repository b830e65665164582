"""Requests, errors, watches, kubeconfig files; once over a real socket with TLS."""

import asyncio
import base64
from pathlib import Path
from typing import Any

import pytest

from tests.fake_api import FakeApi, failure
from tests.virtual_clock import VirtualClock
from workshop import serving
from workshop.api.errors import ApiError
from workshop.api.resources import resource
from workshop.client import kubeconfig
from workshop.client.rest import Client, Unreachable
from workshop.client.transport import HttpTransport
from workshop.client.watch import Lines

MAPS = resource("configmaps")


async def test_the_verbs() -> None:
    async with FakeApi().client() as client:
        made = await client.create(MAPS, {"metadata": {"name": "a"}, "data": {"k": "v"}}, "default")
        assert (made["kind"], made["apiVersion"]) == ("ConfigMap", "v1")
        made["data"] = {"k": "w"}
        await client.update(MAPS, made)
        patched = await client.patch(MAPS, "a", {"data": {"x": "y"}}, "default")
        assert patched["data"] == {"k": "w", "x": "y"}
        listed = await client.list(MAPS)
        assert [(o["kind"], o["data"]["k"]) for o in listed["items"]] == [("ConfigMap", "w")]
        await client.delete(MAPS, "a", "default")
        with pytest.raises(ApiError) as gone:
            await client.get(MAPS, "a", "default")
        assert (gone.value.code, gone.value.reason) == (404, "NotFound")


async def test_an_answer_with_retry_after_is_tried_again_and_one_without_is_not() -> None:
    api, clock = FakeApi(), VirtualClock()
    client = api.client(clock=clock)
    busy = failure(429, "TooManyRequests", "later") | {"headers": [(b"retry-after", b"2")]}
    api.refuse = [dict(busy), dict(busy)]
    request = asyncio.ensure_future(client.create(MAPS, {"metadata": {"name": "a"}}, "default"))
    await clock.advance(3.9)
    assert not request.done()
    await clock.advance(0.2)
    assert (await request)["metadata"]["name"] == "a"
    api.refuse = [failure(429, "TooManyRequests", "budget")]
    with pytest.raises(ApiError, match="budget"):
        await client.delete(MAPS, "a", "default")


async def test_an_error_event_of_a_watch_is_raised() -> None:
    api = FakeApi()
    api.put("/api/v1/namespaces/default/configmaps", {"metadata": {"name": "a"}})
    api.compact()
    with pytest.raises(ApiError) as gone:
        async with api.client().watch(MAPS, resource_version="0") as watch:
            await anext(watch)
    assert gone.value.code == 410


def test_lines_of_any_length_in_any_pieces() -> None:
    text = b'{"a":1}\n' + b'{"b":"' + b"x" * 100_000 + b'"}\n\n{"c":3}\n'
    for size in (1, 7, 4096, len(text)):
        lines = Lines()
        found = [line for i in range(0, len(text), size) for line in lines.feed(text[i : i + size])]
        assert [line[:6] for line in found] == [b'{"a":1', b'{"b":"', b'{"c":3']
        assert b"\n".join(found) + b"\n" == text.replace(b"\n\n", b"\n")


async def test_over_a_socket_and_unreachable_when_nobody_listens() -> None:
    api = FakeApi()
    sock = serving.listen("127.0.0.1", 0)
    port = sock.getsockname()[1]
    async with Client(HttpTransport(f"http://127.0.0.1:{port}", None)) as client:
        async with serving.serve(api, [sock], grace=0.1):
            await client.create(MAPS, {"metadata": {"name": "a"}, "data": {"k": "v" * 200_000}}, "default")
            async with client.watch(MAPS, send_initial_events=True) as watch:
                kind, obj = await asyncio.wait_for(anext(watch), 60)
                assert (kind, len(obj["data"]["k"])) == ("ADDED", 200_000)
            with pytest.raises(ApiError):
                await client.get(MAPS, "b", "default")
        with pytest.raises(Unreachable) as refused:
            await client.get(MAPS, "a", "default")
        assert isinstance(refused.value, OSError)


def write(path: Path, user: str, cluster: str = "server: https://127.0.0.1:6443") -> Path:
    path.write_text(
        f"""
apiVersion: v1
kind: Config
current-context: c
contexts: [{{name: c, context: {{cluster: k, user: u, namespace: dev}}}}]
clusters: [{{name: k, cluster: {{{cluster}}}}}]
users: [{{name: u, user: {{{user}}}}}]
"""
    )
    return path


def test_kubeconfig_files_are_relative_to_it_and_inline_data_wins(tmp_path: Path) -> None:
    (tmp_path / "tls.crt").write_bytes(b"from file")
    inline = base64.b64encode(b"inline").decode()
    user = f"client-certificate: tls.crt, client-key: tls.crt, client-key-data: {inline}, token: t"
    access = kubeconfig.load(write(tmp_path / "conf", user))
    assert (access.client_cert, access.client_key, access.token) == (b"from file", b"inline", "t")
    assert (access.server, access.namespace) == ("https://127.0.0.1:6443", "dev")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"context": "nope"}, 'context "nope" does not exist'),
        ({"cluster": "insecure-skip-tls-verify: true"}, "no server defined"),
    ],
)
def test_kubeconfig_that_cannot_be_used_says_why(tmp_path: Path, change: dict[str, Any], message: str) -> None:
    path = write(tmp_path / "conf", "token: t", **({"cluster": change["cluster"]} if "cluster" in change else {}))
    with pytest.raises(kubeconfig.KubeconfigError, match=message):
        kubeconfig.load(path, change.get("context"))


async def test_a_token_file_is_read_again_after_a_minute(tmp_path: Path) -> None:
    clock, token = VirtualClock(), tmp_path / "token"
    token.write_text("one\n")
    client = FakeApi().client(token_file=str(token), clock=clock)
    assert client._head(None, None)["Authorization"] == "Bearer one"
    token.write_text("two\n")
    await clock.advance(30)
    assert client._head(None, None)["Authorization"] == "Bearer one"
    await clock.advance(31)
    assert client._head(None, None)["Authorization"] == "Bearer two"
