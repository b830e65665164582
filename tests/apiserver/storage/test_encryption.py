"""Values in etcd that only this server can read, and what happens to those that it cannot."""

from __future__ import annotations

import asyncio
import base64
import json
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from tests.api_server import Api, assembled, caller, running, until
from tests.virtual_clock import HastyClock
from workshop.apiserver.storage.ciphers import Unreadable
from workshop.apiserver.storage.encrypted import EncryptedStorage
from workshop.apiserver.storage.encryption import load
from workshop.apiserver.storage.memory import MemoryStorage
from workshop.apiserver.storage.tending import tend
from workshop.client.asgi import AsgiTransport
from workshop.client.rest import Client

HEAD = "apiVersion: apiserver.config.k8s.io/v1\nkind: EncryptionConfiguration\nresources:\n"
TABLE = "application/json;as=Table;v=v1;g=meta.k8s.io"
PARTIAL = "application/json;as=PartialObjectMetadata;v=v1;g=meta.k8s.io"
KEY = base64.b64encode(bytes(range(32))).decode()
OTHER = base64.b64encode(bytes(32)).decode()
NAME = "/registry/secrets/default/s"


def configuration(*providers: str, resources: str = "[secrets]") -> bytes:
    return f"{HEAD}- resources: {resources}\n  providers: [{', '.join(providers)}]\n".encode()


def keyed(kind: str, name: str = "key1", secret: str = KEY) -> str:
    return f"{{{kind}: {{keys: [{{name: {name}, secret: {secret}}}]}}}}"


@pytest.mark.parametrize("kind", ["aesgcm", "aescbc", "secretbox"])
@pytest.mark.parametrize("size", [0, 1, 15, 16, 17, 5000])
def test_there_and_back(kind: str, size: int) -> None:
    providers = load(configuration(keyed(kind))).of("", "secrets")
    assert providers is not None
    plain = os.urandom(size)
    sealed = providers.seal(plain, NAME.encode())
    assert sealed.startswith(f"k8s:enc:{kind}:v1:key1:".encode())
    assert size < 15 or plain not in sealed
    assert providers.seal(plain, NAME.encode()) != sealed  # each time another nonce
    assert providers.open(sealed, NAME.encode()) == (plain, False)


@pytest.mark.parametrize("kind", ["aesgcm", "secretbox"])
def test_a_changed_value_does_not_open(kind: str) -> None:
    providers = load(configuration(keyed(kind))).of("", "secrets")
    assert providers is not None
    sealed = bytearray(providers.seal(b"hidden", b"key"))
    sealed[-1] ^= 1
    with pytest.raises(Unreadable):
        providers.open(bytes(sealed), b"key")


def test_aesgcm_is_bound_to_its_key_in_etcd() -> None:
    providers = load(configuration(keyed("aesgcm"))).of("", "secrets")
    assert providers is not None
    with pytest.raises(Unreadable, match="message authentication failed"):
        providers.open(providers.seal(b"hidden", b"/registry/secrets/a/s"), b"/registry/secrets/b/s")


def test_what_another_provider_wrote_is_stale() -> None:
    old = load(configuration(keyed("aescbc"))).of("", "secrets")
    new = load(configuration(keyed("aesgcm", "key2"), keyed("aescbc"), "{identity: {}}")).of("", "secrets")
    assert old is not None and new is not None
    assert new.open(old.seal(b"v", b"k"), b"k") == (b"v", True)
    assert new.open(b"plain", b"k") == (b"plain", True)
    first = load(configuration("{identity: {}}", keyed("aescbc"))).of("", "secrets")
    assert first is not None
    assert first.open(old.seal(b"v", b"k"), b"k") == (b"v", True)


def test_two_keys_of_one_name() -> None:
    old = load(configuration(keyed("aesgcm"))).of("", "secrets")
    new = load(configuration(keyed("aesgcm", secret=OTHER), keyed("aesgcm"))).of("", "secrets")
    assert old is not None and new is not None
    assert new.open(old.seal(b"v", b"k"), b"k") == (b"v", True)


def test_which_resources() -> None:
    text = HEAD + "".join(
        f"- resources: [{name}]\n  providers: [{{identity: {{}}}}]\n"
        for name in ("configmaps", "deployments.apps", "'*.batch'")
    )
    found = load(text.encode())
    assert found.of("", "configmaps") and found.of("apps", "deployments") and found.of("batch", "jobs")
    assert not found.of("", "secrets") and not found.of("apps", "replicasets")
    assert set(found.by_prefix()) == {
        "/registry/configmaps/", "/registry/deployments/", "/registry/jobs/", "/registry/cronjobs/",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (b"kind: Pod", "not an EncryptionConfiguration"),
        (HEAD.encode(), "resources: Required value"),
        (configuration(), "resources[0].providers: Required value"),
        (configuration("{identity: {}, aesgcm: {}}"), "more than one provider specified in a single element"),
        (configuration("{rot13: {}}"), "does not contain any of the expected providers"),
        (configuration("{kms: {name: a, endpoint: 'unix:///a'}}"), "KMSv1 is deprecated"),
        (configuration("{kms: {apiVersion: v2, name: 'a:b', endpoint: 'unix:///a'}}"), "must not contain ':'"),
        (configuration("{kms: {apiVersion: v2, name: a}}"), "endpoint is a mandatory field for a kms"),
        (configuration("{kms: {apiVersion: v2, name: a, endpoint: 'tcp://a'}}"), 'unsupported scheme "tcp" for KMS'),
        (configuration("{kms: {apiVersion: v2, name: a, endpoint: 'unix:///a', timeout: 0s}}"), "a positive value"),
        (configuration("{kms: {apiVersion: v2, name: a, endpoint: 'unix:///a', cachesize: 9}}"), "not supported in v2"),
        (configuration("{kms: {apiVersion: v3, name: a, endpoint: 'unix:///a'}}"), "only v1 and v2 are supported"),
        (
            configuration(*["{kms: {apiVersion: v2, name: a, endpoint: 'unix:///a'}}"] * 2),
            "duplicate KMS provider name a, names must be unique",
        ),
        (configuration("{aesgcm: {keys: []}}"), "at least one keys is required"),
        (configuration(keyed("aesgcm", secret="x")), "secrets must be base64 encoded"),
        (configuration(keyed("aesgcm", secret="YWJj")), "got 3, expected one of [16 24 32]"),
        (configuration(keyed("aesgcm", name="''")), "name is a mandatory field for a key"),
        (configuration("{identity: {}}", resources="['*']"), "use '*.' to encrypt all the resources from core"),
        (configuration("{identity: {}}", resources="[Secrets]"), "should not contain capital letters"),
        (configuration("{identity: {}}", resources="[secrets, '*.']"), "will be masked"),
        (configuration("{identity: {}}", resources="[secrets, secrets]"), "cannot be specified multiple times"),
        (configuration("{identity: {}}", resources="['events.events.k8s.io']"), "Use 'events' instead"),
        (configuration("{identity: {}}", resources="['secrets.*']"), "across groups is not supported"),
    ],
)  # fmt: skip
def test_refused(text: bytes, said: str) -> None:
    with pytest.raises(ValueError) as refusal:
        load(text)
    assert said in str(refusal.value)
    assert KEY not in str(refusal.value)


@asynccontextmanager
async def serving(etcd: MemoryStorage, text: bytes) -> AsyncIterator[Api]:
    """A server with this configuration on a store that others used before."""
    async with running(assembled(EncryptedStorage(etcd, load(text)))) as server:
        yield caller(server)


SECRET = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s"}, "data": {"password": "aGlkZGVu"}}
SECRETS = "/api/v1/namespaces/default/secrets"


async def stored(etcd: MemoryStorage) -> bytes:
    found = await etcd.get(NAME)
    assert found is not None
    return found.value


async def test_a_secret_is_hidden_in_etcd_and_nowhere_else() -> None:
    etcd = MemoryStorage()
    async with serving(etcd, configuration(keyed("aesgcm"))) as api:
        assert (await api("POST", SECRETS, SECRET)).status == 201
        assert (await stored(etcd)).startswith(b"k8s:enc:aesgcm:v1:key1:")
        assert (await api("GET", f"{SECRETS}/s")).json["data"] == SECRET["data"]
        assert (await api("GET", SECRETS)).json["items"][0]["data"] == SECRET["data"]
        patch = await api("PATCH", f"{SECRETS}/s", b'{"data":{"a":"Yg=="}}', "application/merge-patch+json")
        assert patch.json["data"] == {"password": "aGlkZGVu", "a": "Yg=="}
        assert (await stored(etcd)).startswith(b"k8s:enc:aesgcm:v1:key1:")


async def test_a_key_is_rotated_by_writing_everything_anew() -> None:
    etcd = MemoryStorage()
    async with serving(etcd, configuration(keyed("aescbc"))) as api:
        await api("POST", SECRETS, SECRET)
    async with serving(etcd, configuration(keyed("aesgcm", "key2"), keyed("aescbc"))) as api:
        found = (await api("GET", f"{SECRETS}/s")).json
        assert (await api("PUT", f"{SECRETS}/s", found)).status == 200
        assert (await stored(etcd)).startswith(b"k8s:enc:aesgcm:v1:key2:")
        before = await stored(etcd)
        found = (await api("GET", f"{SECRETS}/s")).json
        await api("PUT", f"{SECRETS}/s", found)
        assert await stored(etcd) == before  # nothing to do any more
    async with serving(etcd, configuration(keyed("aesgcm", "key2"))) as api:
        assert (await api("GET", f"{SECRETS}/s")).status == 200


async def test_a_lost_key_costs_its_objects_and_no_others() -> None:
    etcd = MemoryStorage()
    async with serving(etcd, configuration(keyed("aesgcm"))) as api:
        await api("POST", SECRETS, SECRET)
    async with serving(etcd, configuration(keyed("aesgcm", "key2", OTHER))) as api:
        why = "no matching key was found for the provided AES transformer"
        where = 'unable to transform key "/registry/secrets/default/s": '
        for target, message in (
            (f"{SECRETS}/s", why),
            (SECRETS, where + why),
            (f"{SECRETS}?resourceVersion=0", where + why),
        ):
            answer = await api("GET", target)
            assert (answer.status, answer.json["message"]) == (500, f"Internal error occurred: {message}")
        assert (await api("GET", "/api/v1/namespaces/default")).status == 200


@pytest.mark.parametrize("form", ["application/json", TABLE, PARTIAL])
async def test_a_watch_that_comes_to_what_it_cannot_read_says_so_and_ends(form: str) -> None:
    """A real server's cache stands still at such a change until it is compacted; without its cache it says the same."""
    etcd, why = MemoryStorage(), "no matching key was found for the provided AES transformer"
    storage = EncryptedStorage(etcd, load(configuration(keyed("aesgcm"))))
    async with running(assembled(storage)) as server, Client(AsgiTransport(server.app)) as client, asyncio.timeout(60):
        made = (await caller(server)("POST", SECRETS, SECRET)).json["metadata"]["resourceVersion"]
        stream = await client.stream("GET", f"{SECRETS}?watch=1&resourceVersion={made}", headers={"Accept": form})
        await etcd.create("/registry/secrets/default/lost", b"k8s:enc:aesgcm:v1:another:hidden")
        told = await stream.read()
        stream.close()
    [event] = [json.loads(line) for line in told.splitlines()]
    assert (event["type"], event["object"]["message"]) == ("ERROR", f"Internal error occurred: {why}")
    assert b"hidden" not in told


async def test_a_changed_file_is_taken_again(tmp_path: Path) -> None:
    path, etcd = tmp_path / "encryption.yaml", MemoryStorage()
    text = configuration(keyed("aescbc"))
    path.write_bytes(text)
    storage = EncryptedStorage(etcd, load(text))
    tending = asyncio.ensure_future(tend(storage, path, text, HastyClock()))
    async with running(assembled(storage)) as server:
        api = caller(server)
        assert (await api("POST", SECRETS, SECRET)).status == 201
        path.write_bytes(b"nonsense")  # is told of in the log, and left

        async def written_by(key: bytes) -> bool:
            found = (await api("GET", f"{SECRETS}/s")).json
            assert found["data"] == SECRET["data"]
            assert (await api("PUT", f"{SECRETS}/s", found)).status == 200
            return (await stored(etcd)).startswith(key)

        assert await written_by(b"k8s:enc:aescbc:v1:key1:")
        path.write_bytes(configuration(keyed("aesgcm", "key2"), keyed("aescbc")))
        await until(lambda: written_by(b"k8s:enc:aesgcm:v1:key2:"))  # as soon as it is known what is stale
        path.write_bytes(configuration(keyed("aesgcm", "key3", OTHER), keyed("aesgcm", "key2")))
        await until(lambda: written_by(b"k8s:enc:aesgcm:v1:key3:"))
    tending.cancel()
    await asyncio.gather(tending, return_exceptions=True)
