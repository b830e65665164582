"""Service-account tokens and plain tokens: which are believed, and for how long."""

from __future__ import annotations

import base64
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from tests.virtual_clock import HastyClock
from workshop.apiserver.authentication import jwt, serviceaccount, tokens
from workshop.apiserver.authentication.jwt import InvalidToken, Signer
from workshop.apiserver.authentication.serviceaccount import ServiceAccountTokens
from workshop.apiserver.interfaces import UserInfo

ISSUER = "https://kubernetes.default.svc.cluster.local"
NOW = 1_800_000_000.0
SIGNER = Signer(ec.generate_private_key(ec.SECP256R1()))
FOREIGN = Signer(ec.generate_private_key(ec.SECP256R1()))


def obj(name: str, uid: str, namespace: str = "default", **rest: Any) -> dict[str, Any]:
    return {"metadata": {"name": name, "uid": uid, "namespace": namespace}, **rest}


class Cluster:
    """Live objects by (plural, namespace, name), with an authenticator over them."""

    def __init__(self, *keys: Signer) -> None:
        self.account = obj("web", "sa-1")
        self.objects: dict[tuple[str, str, str], dict[str, Any]] = {("serviceaccounts", "default", "web"): self.account}
        self.clock = HastyClock()
        public = [signer.key for signer in keys or (SIGNER,)]
        self.tokens = ServiceAccountTokens([ISSUER], public, [ISSUER], self.get, self.clock)

    async def get(self, plural: str, namespace: str, name: str) -> dict[str, Any] | None:
        return self.objects.get((plural, namespace, name))

    def token(
        self, signer: Signer = SIGNER, lifetime: int = 3600, audiences: tuple[str, ...] = (ISSUER,), **bound: Any
    ) -> str:
        claims = serviceaccount.claims(self.account, audiences, lifetime, self.clock.now(), "id-1", ISSUER, **bound)
        return signer.sign(claims)

    async def user(self, token: str, audiences: list[str] | None = None) -> UserInfo:
        found = await self.tokens.authenticate(token, audiences)
        assert found is not None
        return found[0]


async def test_a_good_token() -> None:
    cluster = Cluster()
    user = await cluster.user(cluster.token())
    assert user == UserInfo(
        "system:serviceaccount:default:web",
        "sa-1",
        ("system:serviceaccounts", "system:serviceaccounts:default"),
        {"authentication.kubernetes.io/credential-id": ["JTI=id-1"]},
    )


async def test_rsa_tokens_too() -> None:
    signer = Signer(rsa.generate_private_key(65537, 2048))
    cluster = Cluster(SIGNER, signer)
    assert (await cluster.user(cluster.token(signer))).name == "system:serviceaccount:default:web"
    assert signer.key.jwk()["kty"] == "RSA" and signer.key.jwk()["e"] == "AQAB"


async def test_foreign_key() -> None:
    cluster = Cluster()
    with pytest.raises(InvalidToken, match="no keys found"):
        await cluster.user(cluster.token(FOREIGN))


async def test_foreign_signature_under_our_key_id() -> None:
    cluster = Cluster()
    head, _, _ = cluster.token().split(".")
    _, payload, signature = cluster.token(FOREIGN).split(".")
    with pytest.raises(InvalidToken, match="cryptographic primitive"):
        await cluster.user(f"{head}.{payload}.{signature}")


async def test_changed_payload_and_algorithm_none() -> None:
    cluster = Cluster()
    head, payload, signature = cluster.token().split(".")
    claims = jwt.decode64(payload).replace(b'"web"', b'"bos"')
    with pytest.raises(InvalidToken):
        await cluster.user(f"{head}.{jwt.encode64(claims)}.{signature}")
    none = jwt.encode64(b'{"alg":"none"}')
    with pytest.raises(InvalidToken):
        await cluster.user(f"{none}.{payload}.")


async def test_another_issuers_token_is_not_ours_to_judge() -> None:
    cluster = Cluster()
    assert await cluster.tokens.authenticate(SIGNER.sign({"iss": "https://elsewhere"})) is None
    assert await cluster.tokens.authenticate("garbage") is None
    assert await cluster.tokens.authenticate("a.b.c") is None


async def test_expiry_with_a_minute_of_leeway() -> None:
    cluster = Cluster()
    token = cluster.token(lifetime=600)
    cluster.clock.time += 659
    await cluster.user(token)
    cluster.clock.time += 2
    with pytest.raises(InvalidToken, match="service account token has expired"):
        await cluster.user(token)


async def test_not_before() -> None:
    cluster = Cluster()
    token = cluster.token()
    cluster.clock.time -= 61
    with pytest.raises(InvalidToken, match="service account token is not valid yet"):
        await cluster.user(token)


async def test_audience() -> None:
    cluster = Cluster()
    token = cluster.token(audiences=("vault", "other"))
    with pytest.raises(InvalidToken) as e:
        await cluster.user(token)
    assert str(e.value) == f'token audiences ["vault" "other"] is invalid for the target audiences ["{ISSUER}"]'
    assert await cluster.tokens.authenticate(token, ["vault"]) is not None


async def test_token_of_a_deleted_account_and_of_its_namesake() -> None:
    cluster = Cluster()
    token = cluster.token()
    await cluster.user(token)
    del cluster.objects["serviceaccounts", "default", "web"]
    with pytest.raises(InvalidToken, match='serviceaccount "web" not found'):
        await cluster.user(token)
    cluster.objects["serviceaccounts", "default", "web"] = obj("web", "sa-2")
    with pytest.raises(InvalidToken, match=r"service account UID \(sa-2\) does not match claim \(sa-1\)"):
        await cluster.user(token)


@pytest.mark.parametrize(
    ("kind", "plural", "namespace"),
    [("pod", "pods", "default"), ("secret", "secrets", "default"), ("node", "nodes", "")],
)
async def test_token_dies_with_what_it_is_bound_to(kind: str, plural: str, namespace: str) -> None:
    cluster = Cluster()
    bound = obj("b", "uid-1", namespace)
    cluster.objects[plural, namespace, "b"] = bound
    token = cluster.token(**{kind: bound})
    await cluster.user(token)
    cluster.objects[plural, namespace, "b"] = obj("b", "uid-2", namespace)
    with pytest.raises(InvalidToken, match="does not match"):
        await cluster.user(token)
    del cluster.objects[plural, namespace, "b"]
    with pytest.raises(InvalidToken, match="service account token has been invalidated"):
        await cluster.user(token)


async def test_deleted_pod_is_believed_for_the_leeway_only() -> None:
    cluster = Cluster()
    bound = obj("b", "uid-1")
    bound["metadata"]["deletionTimestamp"] = "2027-01-15T08:00:00Z"
    cluster.objects["pods", "default", "b"] = bound
    token = cluster.token(pod=bound)
    await cluster.user(token)
    cluster.clock.time += 61
    with pytest.raises(InvalidToken, match="has been invalidated"):
        await cluster.user(token)


async def test_pods_token_names_pod_and_node() -> None:
    cluster = Cluster()
    pod = obj("b", "uid-1")
    cluster.objects["pods", "default", "b"] = pod
    user = await cluster.user(cluster.token(pod=pod, node=obj("n1", "uid-n", "")))
    assert user.extra["authentication.kubernetes.io/pod-name"] == ["b"]
    assert user.extra["authentication.kubernetes.io/node-uid"] == ["uid-n"]


def legacy(cluster: Cluster, **changes: Any) -> str:
    prefix = "kubernetes.io/serviceaccount/"
    claims = {
        "iss": "kubernetes/serviceaccount",
        "sub": "system:serviceaccount:default:web",
        prefix + "namespace": "default",
        prefix + "secret.name": "web-token",
        prefix + "service-account.name": "web",
        prefix + "service-account.uid": "sa-1",
        **changes,
    }
    token = SIGNER.sign(claims)
    data = {"token": base64.b64encode(token.encode()).decode()}
    cluster.objects["secrets", "default", "web-token"] = obj("web-token", "s-1", data=data)
    return token


async def test_legacy_token_lives_as_long_as_its_secret() -> None:
    cluster = Cluster()
    token = legacy(cluster)
    assert (await cluster.user(token)).uid == "sa-1"
    cluster.objects["secrets", "default", "web-token"]["data"]["token"] = base64.b64encode(b"other").decode()
    with pytest.raises(InvalidToken, match="Token does not match server's copy"):
        await cluster.user(token)
    del cluster.objects["secrets", "default", "web-token"]
    with pytest.raises(InvalidToken, match="Token has been invalidated"):
        await cluster.user(token)


async def test_legacy_token_with_another_subject() -> None:
    cluster = Cluster()
    with pytest.raises(InvalidToken, match="sub claim is invalid"):
        await cluster.user(legacy(cluster, sub="system:serviceaccount:kube-system:boss"))


def test_token_file() -> None:
    users = tokens.parse_token_file(['secret,jane,42,"a,b"', "# comment,x,y", "plain,joe,43"])
    assert users == {"secret": UserInfo("jane", "42", ("a", "b"), {}), "plain": UserInfo("joe", "43", (), {})}
    with pytest.raises(ValueError, match="at least 3 columns"):
        tokens.parse_token_file(["only,two"])


def bootstrap_secret(**changes: str) -> dict[str, Any]:
    data = {
        "token-id": "abcdef",
        "token-secret": "0123456789abcdef",
        "usage-bootstrap-authentication": "true",
        "auth-extra-groups": "system:bootstrappers:workers",
        **changes,
    }
    encoded = {k: base64.b64encode(v.encode()).decode() for k, v in data.items()}
    return {"metadata": {"name": "bootstrap-token-abcdef"}, "type": "bootstrap.kubernetes.io/token", "data": encoded}


async def test_bootstrap_token() -> None:
    async def get(plural: str, namespace: str, name: str) -> dict[str, Any] | None:
        known = (plural, namespace, name) == ("secrets", "kube-system", "bootstrap-token-abcdef")
        return bootstrap_secret() if known else None

    authenticator = tokens.BootstrapTokens(get, HastyClock())
    user = await authenticator.authenticate("abcdef.0123456789abcdef")
    assert user == UserInfo("system:bootstrap:abcdef", "", ("system:bootstrappers", "system:bootstrappers:workers"), {})
    assert await authenticator.authenticate("abcdef.0123456789abcdeX") is None
    assert await authenticator.authenticate("ffffff.0123456789abcdef") is None


@pytest.mark.parametrize(
    "changes",
    [
        {"token-secret": "fedcba9876543210"},
        {"usage-bootstrap-authentication": "false"},
        {"expiration": "2020-01-01T00:00:00Z"},
        {"expiration": "soon"},
        {"auth-extra-groups": "system:masters"},
    ],
)
def test_bootstrap_secret_that_admits_nobody(changes: dict[str, str]) -> None:
    assert tokens.bootstrap_user(bootstrap_secret(**changes), "abcdef", "0123456789abcdef", NOW) is None
