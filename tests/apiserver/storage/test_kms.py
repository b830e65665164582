"""Keys that a plugin keeps: what it gets to see, what lies in etcd, and what happens while it is away."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from tests.apiserver.conftest import Api, assembled, caller, running
from tests.apiserver.storage.kms_plugin import Plugin
from tests.apiserver.storage.test_encryption import NAME, SECRET, SECRETS, configuration, stored
from workshop.apiserver.storage.ciphers import Unreadable
from workshop.apiserver.storage.encrypted import EncryptedStorage
from workshop.apiserver.storage.encryption import load
from workshop.apiserver.storage.interface import StorageError
from workshop.apiserver.storage.kms import WRITES_LAST, Kms, Unwell
from workshop.apiserver.storage.memory import MemoryStorage
from workshop.wire import kms_pb2 as pb


def using(endpoint: str, *more: str) -> bytes:
    return configuration(f"{{kms: {{apiVersion: v2, name: vault, endpoint: '{endpoint}', timeout: 1s}}}}", *more)


@asynccontextmanager
async def server(etcd: MemoryStorage, endpoint: str, *more: str) -> AsyncIterator[tuple[Api, EncryptedStorage, Kms]]:
    encryption = load(using(endpoint, *more))
    (kms,) = encryption.plugins
    await kms.check()
    storage = EncryptedStorage(etcd, encryption)
    async with running(assembled(storage)) as made:
        yield caller(made), storage, kms
    await kms.plugin.close()


async def test_the_plugin_sees_a_seed_and_no_secret(tmp_path: Path) -> None:
    etcd, plugin = MemoryStorage(), Plugin()
    async with plugin.serving(tmp_path / "s") as endpoint:
        async with server(etcd, endpoint) as (api, _, kms):
            assert (await api("POST", SECRETS, SECRET)).status == 201
            assert (await api("GET", f"{SECRETS}/s")).json["data"] == SECRET["data"]
            assert await kms.health() == ""
        raw = await stored(etcd)
        assert raw.startswith(b"k8s:enc:kms:v2:vault:") and b"password" not in raw
        envelope = pb.EncryptedObject.FromString(raw.removeprefix(b"k8s:enc:kms:v2:vault:"))
        assert envelope.keyID == "key-1" and len(envelope.encryptedDEKSource) == 32
        assert envelope.encryptedDEKSourceType == pb.HKDF_SHA256_XNONCE_AES_GCM_SEED
        assert [type(asked).__name__ for asked in plugin.asked] == ["StatusRequest", "EncryptRequest", "StatusRequest"]
        async with server(etcd, endpoint) as (api, _, _):  # another server, with a seed of its own
            assert (await api("GET", f"{SECRETS}/s")).json["data"] == SECRET["data"]
            assert (await api("GET", SECRETS)).status == 200
        assert [type(asked).__name__ for asked in plugin.asked].count("DecryptRequest") == 1


async def test_a_new_key_renews_what_is_written(tmp_path: Path) -> None:
    etcd, plugin = MemoryStorage(), Plugin()
    async with plugin.serving(tmp_path / "s") as endpoint, server(etcd, endpoint) as (api, _, kms):
        await api("POST", SECRETS, SECRET)
        found = (await api("GET", f"{SECRETS}/s")).json
        before = await stored(etcd)
        assert (await api("PUT", f"{SECRETS}/s", found)).status == 200 and await stored(etcd) == before
        plugin.key_id = "key-2"
        assert await kms.check() == ""
        assert (await api("PUT", f"{SECRETS}/s", found)).status == 200
        assert b"key-2" in await stored(etcd)
        assert (await api("GET", f"{SECRETS}/s")).json["data"] == SECRET["data"]


async def test_a_plugin_that_is_away_costs_its_objects_until_it_comes_back(tmp_path: Path) -> None:
    etcd, plugin = MemoryStorage(), Plugin()
    async with plugin.serving(tmp_path / "s") as endpoint, server(etcd, endpoint, "{identity: {}}") as (api, _, _):
        await api("POST", SECRETS, SECRET)
    async with server(etcd, f"unix://{tmp_path}/s") as (api, storage, kms):
        assert (await api("GET", f"{SECRETS}/s")).status == 500
        assert (await api("GET", "/api/v1/namespaces/default")).status == 200
        refused = await api("POST", SECRETS, {**SECRET, "metadata": {"name": "t"}})
        assert refused.status == 500 and "unexpected nil transformer" in refused.json["message"]
        assert "failed to perform status section of the healthz check for KMS Provider vault" in await kms.health()
        async with plugin.serving(tmp_path / "s"):
            assert await kms.check() == ""
            await storage.recovered()
            async with asyncio.timeout(60):
                while (await api("GET", f"{SECRETS}/s")).status != 200:  # noqa: ASYNC110  each look is a step
                    await asyncio.sleep(0)
            assert (await api("POST", SECRETS, {**SECRET, "metadata": {"name": "t"}})).status == 201


class Hand:
    """A clock that is set by hand."""

    def __init__(self) -> None:
        self.time = 1_000_000.0

    def now(self) -> float:
        return self.time

    monotonic = now


async def test_without_a_good_status_writing_ends_and_reading_goes_on(tmp_path: Path) -> None:
    plugin, clock = Plugin(), Hand()
    async with plugin.serving(tmp_path / "s"):
        kms = Kms("vault", f"{tmp_path}/s", 1.0, clock)  # type: ignore[arg-type]
        assert await kms.check() == ""
        sealed = kms.seal(b"hidden", b"key")
        plugin.healthz = "on fire"
        clock.time += WRITES_LAST
        assert kms.open(kms.seal(b"more", b"key"), b"key") == b"more"
        clock.time += 1
        with pytest.raises(Unwell, match=r"expired at .* \(current time is"):
            kms.seal(b"hidden", b"key")
        assert kms.open(sealed, b"key") == b"hidden"
        with pytest.raises(Unreadable):
            kms.open(sealed, b"another key")
        await kms.plugin.close()
    with pytest.raises(StorageError):
        await EncryptedStorage(MemoryStorage(), load(using(f"unix://{tmp_path}/s"))).create(NAME, b"{}")


@pytest.mark.parametrize(
    ("field", "value", "said"),
    [
        ("healthz", "on fire", "got unexpected healthz status: on fire"),
        ("version", "v1", "expected KMSv2 API version v2, got v1"),
        ("key_id", "", "keyID is empty"),
        ("key_id", "k" * 1025, "keyID is 1025 bytes, which exceeds the max size of 1024"),
        ("version", "v2beta1", "should not change after the initial status response version v2, got v2beta1"),
    ],
)
async def test_a_plugin_that_talks_nonsense(tmp_path: Path, field: str, value: str, said: str) -> None:
    plugin = Plugin()
    async with plugin.serving(tmp_path / "s"):
        kms = Kms("vault", f"{tmp_path}/s", 1.0)
        assert await kms.check() == ""
        setattr(plugin, field, value)
        assert said in await kms.check()
        await kms.plugin.close()
