"""Authentication: the store of users and roles alone, then clients of ours and of Debian's etcd."""

from __future__ import annotations

import asyncio
import subprocess
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import grpc
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PrivateFormat
from cryptography.x509.oid import NameOID
from hypothesis import given
from hypothesis import strategies as st

from tests.etcd_servers import KINDS, EtcdProcess, running
from workshop.etcd import errors
from workshop.etcd.auth import store as auth
from workshop.etcd.auth.permissions import READ, READWRITE, WRITE, Need, Ranges, of_txn
from workshop.etcd.auth.store import AuthStore, Identity
from workshop.etcd.auth.tokens import Tokens
from workshop.etcd.lease import Lessor
from workshop.etcd.state import ALARM, LEASE_REVOKE, PUT, StateMachine, decode_command, encode_command
from workshop.wire import etcd_pb2 as pb

KEYS = st.sampled_from([b"a", b"b", b"c", b"d", b"e"])
ENDS = st.sampled_from([b"", b"\0", b"b", b"c", b"d", b"e", b"f"])


@given(st.lists(st.tuples(KEYS, ENDS), max_size=5), KEYS, ENDS)
def test_a_range_is_covered_if_each_of_its_keys_is(granted: list[tuple[bytes, bytes]], key: bytes, end: bytes) -> None:
    """All keys of one letter, and what is between and behind them, stand for all keys."""
    points = sorted({bytes((c,)) + tail for c in b"abcdefg" for tail in (b"", b"\0", b"x")})

    def holds(low: bytes, high: bytes, point: bytes) -> bool:
        return point == low if not high else low <= point and (high == b"\0" or point < high)

    wanted = [point for point in points if holds(key, end, point)]
    covered = all(any(holds(*one, point) for one in granted) for point in wanted)
    if wanted:
        assert Ranges(granted).cover(key, end) == covered


class Admin:
    """Commands of root on a store."""

    def __init__(self) -> None:
        self.store, self.index = AuthStore(), 0

    def __call__(self, kind: int, **fields: Any) -> bytes:
        self.index += 1
        who = Identity("root", self.store.revision)
        return self.store.apply(kind, auth.MESSAGES[kind](**fields), who, self.index, 0.0)


@pytest.fixture
def admin() -> Admin:
    admin = Admin()
    admin(auth.USER_ADD, name="root", hashedPassword="eA==")
    admin(auth.USER_GRANT_ROLE, user="root", role="root")
    admin(auth.USER_ADD, name="ann", hashedPassword="eA==")
    admin(auth.ROLE_ADD, name="r")
    admin(auth.USER_GRANT_ROLE, user="ann", role="r")
    admin(auth.ROLE_GRANT_PERMISSION, name="r", perm=pb.Permission(permType=READ, key=b"a", range_end=b"c"))
    admin(auth.ROLE_GRANT_PERMISSION, name="r", perm=pb.Permission(permType=READWRITE, key=b"c", range_end=b"e"))
    admin(auth.ENABLE)
    return admin


def test_what_a_user_may(admin: Admin) -> None:
    store = admin.store
    ann = Identity("ann", store.revision)
    store.require(ann, [Need(READ, b"a", b"e"), Need(WRITE, b"d")])
    for need in (Need(WRITE, b"a"), Need(READ, b"a", b"f"), Need(READ, b"z"), Need(WRITE, b"c", b"\0")):
        with pytest.raises(errors.PermissionDenied):
            store.require(ann, [need])
    with pytest.raises(errors.UserEmpty):
        store.require(auth.ANYONE, [Need(READ, b"a")])
    store.require(Identity("root", store.revision), [Need(WRITE, b"\0", b"\0")])


def test_what_was_allowed_before_a_change_is_refused_after_it(admin: Admin) -> None:
    ann = Identity("ann", admin.store.revision)
    admin(auth.ROLE_REVOKE_PERMISSION, role="r", key=b"c", range_end=b"e")
    with pytest.raises(errors.AuthOldRevision):
        admin.store.require(ann, [Need(READ, b"a")])
    with pytest.raises(errors.PermissionDenied):
        admin.store.require(Identity("ann", admin.store.revision), [Need(READ, b"c")])


def test_root_cannot_saw_off_its_branch(admin: Admin) -> None:
    admin(auth.ROLE_ADD, name="root")
    for kind, fields in (
        (auth.USER_DELETE, {"name": "root"}),
        (auth.USER_REVOKE_ROLE, {"name": "root", "role": "root"}),
        (auth.ROLE_DELETE, {"role": "root"}),
    ):
        with pytest.raises(errors.InvalidAuthManagement):
            admin(kind, **fields)
    with pytest.raises(errors.PermissionDenied):
        admin.store.apply(auth.ROLE_ADD, pb.AuthRoleAddRequest(name="x"), Identity("ann", 99), 1, 0.0)


def test_a_transaction_needs_all_that_it_might_do() -> None:
    inner = pb.TxnRequest(failure=[pb.RequestOp(request_delete_range=pb.DeleteRangeRequest(key=b"d", prev_kv=True))])
    request = pb.TxnRequest(
        compare=[pb.Compare(key=b"a")],
        success=[pb.RequestOp(request_put=pb.PutRequest(key=b"b"))],
        failure=[pb.RequestOp(request_range=pb.RangeRequest(key=b"c")), pb.RequestOp(request_txn=inner)],
    )
    assert list(of_txn(request)) == [
        Need(READ, b"a"), Need(WRITE, b"b"), Need(READ, b"c"), Need(WRITE, b"d"), Need(READ, b"d"),
    ]  # fmt: skip


def test_with_a_lease_go_its_keys(admin: Admin) -> None:
    machine = StateMachine(1, Lessor())
    machine.auth = admin.store
    machine.lessor.grant(7, 60, 0.0)
    root, ann = (Identity(name, admin.store.revision) for name in ("root", "ann"))
    machine.apply(PUT, pb.PutRequest(key=b"secret", lease=7), 0.0, root)
    for kind, request in ((PUT, pb.PutRequest(key=b"d", lease=7)), (LEASE_REVOKE, pb.LeaseRevokeRequest(ID=7))):
        with pytest.raises(errors.PermissionDenied):
            machine.apply(kind, request, 0.0, ann)
    machine.apply(LEASE_REVOKE, pb.LeaseRevokeRequest(ID=7), 0.0, auth.MEMBER)
    assert not machine.store.live


def test_a_store_comes_back_from_both_its_forms(admin: Admin) -> None:
    first, second = AuthStore(), AuthStore()
    first.decode(admin.store.encode())
    second.restore(admin.store.buckets())
    for again in (first, second):
        assert (again.enabled, again.revision, again.users) == (True, admin.store.revision, admin.store.users)
        assert again.roles == admin.store.roles


def test_tokens_live_as_long_as_they_are_shown() -> None:
    tokens = Tokens(ttl=10)
    assert tokens.assign("x", 1, "ann", 3, 0.0) == "x.1"
    assert tokens.find("x.1", 3, 9.0) == ("ann", 3) and tokens.find("x.1", 4, 18.0) == ("ann", 4)
    assert tokens.find("x.1", 4, 28.0) is None and tokens.find("y", 4, 0.0) is None
    tokens.assign("x", 2, "ann", 4, 30.0)
    tokens.forget("ann")
    assert tokens.find("x.2", 4, 30.0) is None


@given(st.integers(1, 127), st.integers(0, 2**64 - 1), st.binary(), st.text(max_size=20), st.integers(0, 2**64 - 1))
def test_a_command_tells_who_gave_it(kind: int, id: int, payload: bytes, name: str, revision: int) -> None:
    who = Identity(name, revision)
    assert decode_command(encode_command(kind, id, payload, who)) == (kind, id, payload, who)
    assert decode_command(encode_command(kind, id, payload)) == (kind, id, payload, auth.ANYONE)


def test_a_cluster_that_distrusts_its_data_takes_nothing_more() -> None:
    machine = StateMachine(1, Lessor())
    machine.apply(ALARM, pb.AlarmRequest(action=1, alarm=pb.CORRUPT), 0.0)
    with pytest.raises(errors.CorruptCluster):
        machine.apply(PUT, pb.PutRequest(key=b"a"), 0.0)


# Clients


class User:
    """Somebody's calls; `token` is shown with each."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        self.channel, self.token = channel, ""

    @property
    def metadata(self) -> list[tuple[str, str]]:
        return [("token", self.token)] if self.token else []

    async def __call__(self, method: str, request: Any) -> Any:
        call = self.channel.unary_unary(f"/etcdserverpb.{method}")
        body = await call(request.SerializeToString(), timeout=60, metadata=self.metadata)
        name = type(request).__name__.replace("Request", "Response")
        return getattr(pb, name).FromString(body)

    async def refused(self, method: str, request: Any) -> str:
        with pytest.raises(grpc.RpcError) as error:
            await self(method, request)
        return f"{error.value.code().name}: {error.value.details()}"

    async def log_in(self, name: str, password: str) -> User:
        user = User(self.channel)
        user.token = (await user("Auth/Authenticate", pb.AuthenticateRequest(name=name, password=password))).token
        return user


@pytest.fixture(params=KINDS)
async def etcd(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[EtcdProcess]:
    async with running(request.param, tmp_path / "data", "--bcrypt-cost=4") as etcd:
        yield etcd


async def test_users_and_roles_of_a_running_member(etcd: EtcdProcess) -> None:
    async with grpc.aio.insecure_channel(etcd.endpoint) as channel:
        anyone = User(channel)
        await anyone("Auth/UserAdd", pb.AuthUserAddRequest(name="root", password="secret"))
        await anyone("Auth/UserGrantRole", pb.AuthUserGrantRoleRequest(user="root", role="root"))
        await anyone("Auth/UserAdd", pb.AuthUserAddRequest(name="ann", password="ann's"))
        await anyone("Auth/UserAdd", pb.AuthUserAddRequest(name="bot", options=pb.UserAddOptions(no_password=True)))
        await anyone("Auth/RoleAdd", pb.AuthRoleAddRequest(name="r"))
        granted = pb.Permission(permType=READWRITE, key=b"a/", range_end=b"a0")
        await anyone("Auth/RoleGrantPermission", pb.AuthRoleGrantPermissionRequest(name="r", perm=granted))
        await anyone("Auth/UserGrantRole", pb.AuthUserGrantRoleRequest(user="ann", role="r"))
        await anyone("Auth/AuthEnable", pb.AuthEnableRequest())

        put = pb.PutRequest(key=b"a/1", value=b"x")
        assert await anyone.refused("KV/Put", put) == "INVALID_ARGUMENT: etcdserver: user name is empty"
        assert await anyone.refused("KV/Range", pb.RangeRequest(key=b"a/1")) == (
            "INVALID_ARGUMENT: etcdserver: user name is empty"
        )
        wrong = "INVALID_ARGUMENT: etcdserver: authentication failed, invalid user ID or password"
        for name, password in (("ann", "wrong"), ("nobody", "x"), ("ann", "x" * 100)):
            request = pb.AuthenticateRequest(name=name, password=password)
            assert await anyone.refused("Auth/Authenticate", request) == wrong
        stranger = User(channel)
        stranger.token = "abcdefghijklmnop.1"
        assert await stranger.refused("KV/Put", put) == "UNAUTHENTICATED: etcdserver: invalid auth token"

        root, ann = await anyone.log_in("root", "secret"), await anyone.log_in("ann", "ann's")
        await ann("KV/Put", put)
        assert (await ann("KV/Range", pb.RangeRequest(key=b"a/", range_end=b"a0"))).count == 1
        denied = "PERMISSION_DENIED: etcdserver: permission denied"
        assert await ann.refused("KV/Range", pb.RangeRequest(key=b"a/", range_end=b"b")) == denied
        assert await ann.refused("KV/Put", pb.PutRequest(key=b"b")) == denied
        assert await ann.refused("KV/Txn", pb.TxnRequest(compare=[pb.Compare(key=b"b")])) == denied
        assert await ann.refused("Auth/UserList", pb.AuthUserListRequest()) == denied
        assert await ann.refused("Auth/UserGet", pb.AuthUserGetRequest(name="root")) == denied
        assert (await ann("Auth/UserGet", pb.AuthUserGetRequest(name="ann"))).roles == ["r"]
        # Debian's gives no code and other words here, which later versions of upstream do.
        assert (await ann.refused("Maintenance/Defragment", pb.DefragmentRequest())).endswith("permission denied")
        await root("KV/Put", pb.PutRequest(key=b"b"))

        assert (await watched(ann, b"a/1")).created
        refused = await watched(ann, b"b")
        assert refused.canceled and refused.cancel_reason == (
            "rpc error: code = PermissionDenied desc = etcdserver: permission denied"
        )

        await root("Auth/UserChangePassword", pb.AuthUserChangePasswordRequest(name="ann", password="new"))
        assert await ann.refused("KV/Put", put) == "UNAUTHENTICATED: etcdserver: invalid auth token"
        ann = await anyone.log_in("ann", "new")
        await root("Auth/UserRevokeRole", pb.AuthUserRevokeRoleRequest(name="ann", role="r"))
        assert await ann.refused("KV/Put", put) == denied
        await root("Auth/AuthDisable", pb.AuthDisableRequest())
        await anyone("KV/Put", put)


async def watched(user: User, key: bytes) -> Any:
    stream = user.channel.stream_stream("/etcdserverpb.Watch/Watch")(metadata=user.metadata)
    await stream.write(pb.WatchRequest(create_request=pb.WatchCreateRequest(key=key)).SerializeToString())
    answer = pb.WatchResponse.FromString(await asyncio.wait_for(stream.read(), 60))
    stream.cancel()
    return answer


async def test_users_outlive_a_crash_and_the_log(tmp_path: Path) -> None:
    async with running("ours", tmp_path / "data", "--bcrypt-cost=4", "--snapshot-count=20") as etcd:
        async with grpc.aio.insecure_channel(etcd.endpoint) as channel:
            anyone = User(channel)
            await anyone("Auth/UserAdd", pb.AuthUserAddRequest(name="root", password="secret"))
            await anyone("Auth/UserGrantRole", pb.AuthUserGrantRoleRequest(user="root", role="root"))
            await anyone("Auth/AuthEnable", pb.AuthEnableRequest())
            root = await anyone.log_in("root", "secret")
            for i in range(50):
                await root("KV/Put", pb.PutRequest(key=b"k%d" % i))
        etcd.kill()
        await etcd.start()
        async with grpc.aio.insecure_channel(etcd.endpoint) as channel:
            assert await User(channel).refused("KV/Put", pb.PutRequest(key=b"k")) == (
                "INVALID_ARGUMENT: etcdserver: user name is empty"
            )
            root = await User(channel).log_in("root", "secret")
            assert (await root("KV/Range", pb.RangeRequest(key=b"k", range_end=b"l"))).count == 50


def certified(folder: Path) -> None:
    """An authority `ca`, a server's certificate `server`, and those of the users `root` and `ann`."""
    now = datetime.now(UTC)
    authority = ec.generate_private_key(ec.SECP256R1())
    for name in ("ca", "server", "root", "ann"):
        key = authority if name == "ca" else ec.generate_private_key(ec.SECP256R1())
        made = (
            x509.CertificateBuilder()
            .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]))
            .issuer_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "ca")]))
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - timedelta(hours=1))
            .not_valid_after(now + timedelta(days=1))
            .add_extension(x509.BasicConstraints(ca=name == "ca", path_length=None), critical=True)
            .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False)
            .sign(authority, hashes.SHA256())
        )
        (folder / f"{name}.crt").write_bytes(made.public_bytes(Encoding.PEM))
        (folder / f"{name}.key").write_bytes(
            key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, serialization.NoEncryption())
        )


@pytest.mark.parametrize("kind", KINDS)
async def test_a_certificates_name_is_the_users(kind: str, tmp_path: Path) -> None:
    certified(tmp_path)
    etcd = EtcdProcess(kind, tmp_path / "data")
    url = f"https://{etcd.endpoint}"
    etcd.flags = (
        *(f"--listen-client-urls={url}", f"--advertise-client-urls={url}", "--client-cert-auth"),
        *(f"--cert-file={tmp_path}/server.crt", f"--key-file={tmp_path}/server.key"),
        *(f"--trusted-ca-file={tmp_path}/ca.crt", "--bcrypt-cost=4"),
    )
    process = subprocess.Popen(etcd.arguments(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def channel(name: str) -> grpc.aio.Channel:
        pem = [(tmp_path / file).read_bytes() for file in ("ca.crt", f"{name}.key", f"{name}.crt")]
        return grpc.aio.secure_channel(etcd.endpoint, grpc.ssl_channel_credentials(*pem))

    try:
        async with channel("root") as roots, channel("ann") as anns:
            await asyncio.wait_for(roots.channel_ready(), 60)
            root, ann = User(roots), User(anns)
            await root("Auth/UserAdd", pb.AuthUserAddRequest(name="root", password="x"))
            await root("Auth/UserGrantRole", pb.AuthUserGrantRoleRequest(user="root", role="root"))
            await root("Auth/UserAdd", pb.AuthUserAddRequest(name="ann", password="x"))
            await root("Auth/RoleAdd", pb.AuthRoleAddRequest(name="r"))
            granted = pb.Permission(permType=READWRITE, key=b"a")
            await root("Auth/RoleGrantPermission", pb.AuthRoleGrantPermissionRequest(name="r", perm=granted))
            await root("Auth/UserGrantRole", pb.AuthUserGrantRoleRequest(user="ann", role="r"))
            await root("Auth/AuthEnable", pb.AuthEnableRequest())
            await ann("KV/Put", pb.PutRequest(key=b"a"))
            refused = await ann.refused("KV/Put", pb.PutRequest(key=b"b"))
            assert refused == "PERMISSION_DENIED: etcdserver: permission denied"
            await root("KV/Put", pb.PutRequest(key=b"b"))
    finally:
        process.kill()
        process.wait()
