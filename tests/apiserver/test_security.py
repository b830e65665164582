"""The parts put together from flags, over a store and a cache in memory."""

from __future__ import annotations

import asyncio
from pathlib import Path
from random import Random
from types import SimpleNamespace
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from workshop.api.errors import ApiError
from workshop.api.resources import Registry, resource
from workshop.apiserver.authentication.files import load_private_key, load_public_keys
from workshop.apiserver.authorization.rbac import RbacIndex
from workshop.apiserver.cached import feed
from workshop.apiserver.interfaces import AdmissionRequest, Attributes, Decision, UserInfo
from workshop.apiserver.security import Options, Security
from workshop.clock import SYSTEM

ISSUER = "https://kubernetes.default.svc.cluster.local"
KIND = resource("clusterrolebindings.rbac.authorization.k8s.io")


class FakeWatcher:
    def __init__(self) -> None:
        self.cut = False
        self.queue: asyncio.Queue[list[Any]] = asyncio.Queue()

    async def next(self, timeout: float | None) -> list[Any]:
        return await self.queue.get()


class FakeCache:
    """One shelf of objects and one watcher."""

    def __init__(self) -> None:
        self.revision = 1
        self.items: dict[str, Any] = {}
        self.watchers: list[FakeWatcher] = []
        self.watched = asyncio.Event()

    def shelf(self, prefix: str) -> Any:
        return SimpleNamespace(items=self.items, under=lambda p: [v for k, v in self.items.items() if k.startswith(p)])

    def watch(self, prefix: str, revision: int) -> tuple[list[Any], FakeWatcher]:
        self.watchers.append(FakeWatcher())
        self.watched.set()
        return [], self.watchers[-1]

    async def wait_until(self, revision: int) -> None:
        raise AssertionError("the cache is filled")


def stored(obj: dict[str, Any]) -> Any:
    return SimpleNamespace(key=KIND.storage_key(None, obj["metadata"]["name"]), obj=obj)


def binding(name: str, user: str) -> dict[str, Any]:
    subject = {"kind": "User", "name": user}
    return {"metadata": {"name": name}, "roleRef": {"kind": "ClusterRole", "name": "all"}, "subjects": [subject]}


async def test_index_follows_the_cache_also_after_it_was_built_anew() -> None:
    index, cache = RbacIndex(), FakeCache()
    everything = {"apiGroups": ["*"], "resources": ["*"], "verbs": ["*"]}
    index.put("clusterroles", {"metadata": {"name": "all"}, "rules": [everything]})

    def may(user: str) -> bool:
        return index.decide(Attributes(UserInfo(user), "get", resource="pods"))[0] is Decision.ALLOW

    async def tell(*changes: tuple[str, dict[str, Any]]) -> None:
        cache.watchers[-1].queue.put_nowait([SimpleNamespace(type=t, new=stored(o)) for t, o in changes])
        for _ in range(3):
            await asyncio.sleep(0)

    first = stored(binding("a", "jane"))
    cache.items[first.key] = first
    task = asyncio.create_task(feed(cache, KIND, index.put, index.remove))
    await cache.watched.wait()
    assert may("jane") and not may("joe")
    await tell(("ADDED", binding("b", "joe")), ("MODIFIED", binding("a", "jim")))
    assert may("joe") and may("jim") and not may("jane")
    await tell(("DELETED", binding("b", "joe")))
    assert not may("joe")
    cache.items = {}  # while nobody watched, all was deleted
    cache.watchers[-1].cut = True
    await tell()
    assert not may("jim") and len(cache.watchers) == 2
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


def write_key(path: Path, key: Any) -> str:
    private = serialization.PrivateFormat.PKCS8
    path.write_bytes(key.private_bytes(serialization.Encoding.PEM, private, serialization.NoEncryption()))
    return str(path)


def test_keys_of_files(tmp_path: Path) -> None:
    one, two = ec.generate_private_key(ec.SECP256R1()), rsa.generate_private_key(65537, 2048)
    path = write_key(tmp_path / "one.key", one)
    public = serialization.PublicFormat.SubjectPublicKeyInfo
    both = (tmp_path / "both.pub", [one, two])
    both[0].write_bytes(b"".join(k.public_key().public_bytes(serialization.Encoding.PEM, public) for k in both[1]))  # type: ignore[attr-defined]
    assert [k.public_numbers() for k in load_public_keys(str(both[0]))] == [
        k.public_key().public_numbers() for k in both[1]
    ]  # type: ignore[attr-defined]
    assert load_private_key(path).public_key().public_numbers() == one.public_key().public_numbers()
    (tmp_path / "empty").write_text("nothing")
    with pytest.raises(ValueError, match="does not contain any valid"):
        load_public_keys(str(tmp_path / "empty"))


def make(tmp_path: Path, **more: Any) -> Security:
    key = write_key(tmp_path / "sa.key", ec.generate_private_key(ec.SECP256R1()))
    fields: dict[str, Any] = {
        "advertise_address": "10.0.254.1",
        "secure_port": 6443,
        "service_cluster_ip_range": ["10.0.128.0/18"],
        "service_account_issuer": [ISSUER],
        "service_account_signing_key_file": key,
        "authorization_mode": ["Node", "RBAC"],
        **more,
    }
    store: Any = None
    return Security(Options(**fields), store, FakeCache(), Registry(), SYSTEM, Random(1))


async def test_from_flags(tmp_path: Path) -> None:
    security = make(tmp_path, enable_admission_plugins=["NodeRestriction"])
    assert security.issuer is not None and security.audiences == (ISSUER,)
    assert (
        b'"jwks_uri":"https://10.0.254.1:6443/openid/v1/jwks"'
        in security.documents()["/.well-known/openid-configuration"][0]
    )
    assert "NodeRestriction" in [p.name for p in security.admission.plugins]
    admin = UserInfo("admin", groups=("system:masters",))
    assert (await security.authorizer.authorize(Attributes(admin, "get", resource="pods")))[0] is Decision.ALLOW
    assert (await security.authorizer.authorize(Attributes(UserInfo("x"), "get", resource="pods")))[
        0
    ] is not Decision.ALLOW


def test_wrong_flags(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="is not a valid mode"):
        make(tmp_path, authorization_mode=["RABC"])
    with pytest.raises(ValueError, match="unknown admission plugin"):
        make(tmp_path, enable_admission_plugins=["Nonsense"])


async def test_rights_are_not_handed_out_by_those_who_lack_them(tmp_path: Path) -> None:
    security = make(tmp_path)
    role = {"metadata": {"name": "r"}, "rules": [{"apiGroups": [""], "resources": ["pods"], "verbs": ["get"]}]}
    kind = resource("clusterroles.rbac.authorization.k8s.io")
    for user, refused in ((UserInfo("jane"), True), (UserInfo("admin", groups=("system:masters",)), False)):
        request = AdmissionRequest("CREATE", kind, "", "", "r", dict(role), None, user)
        if refused:
            with pytest.raises(ApiError, match="RBAC permissions not currently held"):
                await security.admission.validate(request)
        else:
            await security.admission.validate(request)


async def test_indexes_say_when_they_know_everything(tmp_path: Path) -> None:
    security = make(tmp_path)
    security.bootstrap.keep_fresh = asyncio.Event().wait  # type: ignore[method-assign, assignment]
    assert not security.indexed.is_set()
    task = asyncio.create_task(security.follow())
    await asyncio.wait_for(security.indexed.wait(), 60)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
