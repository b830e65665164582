"""Tokens that are signed: made by one etcd, believed by the other."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import grpc
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

from tests.etcd.members import call
from tests.etcd_servers import EtcdProcess
from workshop.etcd import errors
from workshop.etcd.auth.jwt import METHODS, tokens_from
from workshop.etcd.config import Fatal, parse_auth_token
from workshop.wire import etcd_pb2 as pb

CURVES: dict[str, Callable[[], ec.EllipticCurve]] = {
    "ES256": ec.SECP256R1, "ES384": ec.SECP384R1, "ES512": ec.SECP521R1,
}  # fmt: skip


@pytest.fixture(scope="module")
def rsa_key() -> Any:
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


def private(method: str, rsa_key: Any) -> Any:
    if method in CURVES:
        return ec.generate_private_key(CURVES[method]())
    return ed25519.Ed25519PrivateKey.generate() if method == "EdDSA" else rsa_key


def write(folder: Path, key: Any) -> dict[str, str]:
    """The options that name the two halves of a key."""
    pem = serialization.Encoding.PEM
    folder.mkdir(exist_ok=True)
    secret = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    public = key.public_key().public_bytes(pem, serialization.PublicFormat.SubjectPublicKeyInfo)
    for name, data in (("priv-key", secret), ("pub-key", public)):
        (folder / name).write_bytes(data)
    return {name: str(folder / name) for name in ("priv-key", "pub-key")}


class Wall:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.mark.parametrize("method", sorted(METHODS))
def test_what_is_signed_is_believed_until_it_ends(method: str, tmp_path: Path, rsa_key: Any) -> None:
    wall = Wall()
    if method.startswith("HS"):
        (tmp_path / "secret").write_bytes(b"something long that nobody guesses")
        options = {"priv-key": str(tmp_path / "secret")}
    else:
        options = write(tmp_path, private(method, rsa_key))
    tokens = tokens_from({**options, "sign-method": method, "ttl": "10s"}, wall)
    token = tokens.assign("", 0, "ann", 7, 0.0)
    assert tokens.find(token, 9, 0.0) == ("ann", 7), "it counts for the revision under which it was made"
    head, claims, signature = token.split(".")
    forged = base64.urlsafe_b64encode(
        json.dumps({"exp": 2000, "revision": 7, "username": "root"}).encode()
    ).rstrip(b"=").decode()  # fmt: skip
    nobody = base64.urlsafe_b64encode(b'{"alg":"none","typ":"JWT"}').rstrip(b"=").decode()
    others = (
        f"{head}.{forged}.{signature}", f"{head}.{claims}.", f"{nobody}.{claims}.", f"{head}.{claims}",
        f"{head}.{claims}.{signature[:-8]}AAAAAAAA", f"{token}.{signature}", "", "abc.5", "ä.b.c",
    )  # fmt: skip
    for other in others:
        assert tokens.find(other, 9, 0.0) is None, other
    wall.now = 1010.0
    assert tokens.find(token, 9, 0.0) is None
    if not method.startswith("HS"):
        checks = tokens_from({"pub-key": options["pub-key"], "sign-method": method}, lambda: 1000.0)
        assert checks.find(token, 9, 0.0) == ("ann", 7)
        with pytest.raises(errors.VerifyOnly, match="verify-only key"):
            checks.assign("", 0, "ann", 7, 0.0)


def test_what_cannot_be_meant(tmp_path: Path, rsa_key: Any) -> None:
    curve, other = write(tmp_path / "a", private("ES256", None)), write(tmp_path / "b", private("ES384", None))
    for options, said in (
        ({}, "auth: invalid auth signature method"),
        ({"sign-method": "none"}, "auth: invalid auth signature method"),
        ({"sign-method": "HS256"}, "auth: missing key data"),
        ({"sign-method": "RS256"}, "auth: missing key data"),
        ({"sign-method": "RS256", "priv-key": "/nowhere"}, "No such file"),
        ({"sign-method": "ES256", "ttl": "soon", **curve}, "invalid duration"),
        ({"sign-method": "ES256", "priv-key": curve["priv-key"], "pub-key": other["pub-key"]}, "keys don't match"),
        ({"sign-method": "ES256", **other}, "key is invalid"),
        ({"sign-method": "RS256", **curve}, "key is invalid"),
        ({"sign-method": "EdDSA", **curve}, "key is invalid"),
    ):
        with pytest.raises(Fatal, match=said):
            tokens_from(options, Wall())
    for flag in ("jwt,sign-method", "jwt,ttl=1s,ttl=2s", "jwt,a=b=c", "paper"):
        with pytest.raises(Fatal, match="auth: invalid auth options"):
            parse_auth_token(flag)
    assert parse_auth_token("jwt,ttl=1s,sign-method=HS256") == ("jwt", {"ttl": "1s", "sign-method": "HS256"})


async def with_users(etcd: EtcdProcess) -> str:
    """Enable authentication; root's token."""
    for method, request in (
        ("Auth/UserAdd", pb.AuthUserAddRequest(name="root", password="secret")),
        ("Auth/UserGrantRole", pb.AuthUserGrantRoleRequest(user="root", role="root")),
        ("Auth/AuthEnable", pb.AuthEnableRequest()),
    ):
        await call(etcd.endpoint, method, request)
    answer = await call(etcd.endpoint, "Auth/Authenticate", pb.AuthenticateRequest(name="root", password="secret"))
    return str(answer.token)


async def put(etcd: EtcdProcess, token: str) -> str:
    """What a put by that token comes to."""
    async with grpc.aio.insecure_channel(etcd.endpoint) as channel:
        request = pb.PutRequest(key=b"k", value=b"v").SerializeToString()
        try:
            await channel.unary_unary("/etcdserverpb.KV/Put")(request, timeout=60, metadata=[("token", token)])
        except grpc.aio.AioRpcError as refused:
            return str(refused.details())
        return "done"


async def test_tokens_of_ours_and_upstreams_are_the_same(tmp_path: Path, rsa_key: Any) -> None:
    keys = ",".join(f"{name}={path}" for name, path in write(tmp_path / "keys", rsa_key).items())
    flag = f"--auth-token=jwt,{keys},sign-method=RS256,ttl=10m"
    ours, debian = (EtcdProcess(kind, tmp_path / kind, flag) for kind in ("ours", "debian"))
    try:
        await asyncio.gather(ours.start(), debian.start())
        tokens = await asyncio.gather(with_users(ours), with_users(debian))
        for etcd in (ours, debian):
            assert [await put(etcd, token) for token in tokens] == ["done", "done"]
            assert await put(etcd, tokens[0][:-4] + "AAAA") == "etcdserver: invalid auth token"
            await call_as_root(etcd, tokens[0])
            assert await put(etcd, tokens[0]) == "etcdserver: revision of auth store is old"
        ours.kill()
        await ours.start()
        assert await put(ours, tokens[0]) == "etcdserver: revision of auth store is old", "it outlives a restart"
    finally:
        for etcd in (ours, debian):
            etcd.kill()


async def call_as_root(etcd: EtcdProcess, token: str) -> None:
    """Change the users, so that what was made before is outdated."""
    async with grpc.aio.insecure_channel(etcd.endpoint) as channel:
        request = pb.AuthRoleAddRequest(name="more").SerializeToString()
        await channel.unary_unary("/etcdserverpb.Auth/RoleAdd")(request, timeout=60, metadata=[("token", token)])
