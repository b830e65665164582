"""`--authentication-config`: others' issuers of tokens, and anonymous callers at some paths."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from cryptography.hazmat.primitives.asymmetric import ec

from tests.api_server import assembled, caller, running
from tests.virtual_clock import StillClock
from workshop.apiserver.authentication.configuration import load
from workshop.apiserver.authentication.jwt import InvalidToken, Signer
from workshop.apiserver.authentication.oidc import Issuer

URL = "https://id.example.com"
SIGNER, OTHER = (Signer(ec.generate_private_key(ec.SECP256R1())) for _ in range(2))
TRUSTED: dict[str, Any] = {
    "issuer": {"url": URL, "audiences": ["workshop"]},
    "claimValidationRules": [{"claim": "hd", "requiredValue": "example.com"}],
    "claimMappings": {
        "username": {"claim": "sub", "prefix": "id:"},
        "groups": {"expression": "claims.roles.split(',')"},
        "uid": {"claim": "sub"},
        "extra": [{"key": "example.com/team", "valueExpression": "claims.?team.orValue('')"}],
    },
    "userValidationRules": [{"expression": "!user.username.endsWith('root')", "message": "not you"}],
}
CLAIMS = {
    "iss": URL,
    "aud": "workshop",
    "sub": "jane",
    "exp": 2000,
    "hd": "example.com",
    "roles": "dev,ops",
    "team": "a",
}


class Published:
    """What the issuer serves, and how often it was asked."""

    def __init__(self) -> None:
        self.keys, self.asked = [SIGNER.key.jwk()], 0

    async def get(self, url: str) -> Any:
        self.asked += 1
        if url == f"{URL}/.well-known/openid-configuration":
            return {"issuer": URL, "jwks_uri": f"{URL}/keys"}
        assert url == f"{URL}/keys"
        return {"keys": self.keys}


@pytest.fixture
def published() -> Published:
    return Published()


@pytest.fixture
def clock() -> StillClock:
    return StillClock(1000.0)


async def test_a_token_becomes_a_user(published: Published, clock: StillClock) -> None:
    issuer = Issuer(TRUSTED, published.get)
    user = await issuer.authenticate(SIGNER.sign(CLAIMS), clock)
    assert user is not None
    assert (user.name, user.uid, user.groups, user.extra) == (
        "id:jane",
        "jane",
        ("dev", "ops"),
        {"example.com/team": ["a"]},
    )
    await issuer.authenticate(SIGNER.sign(CLAIMS), clock)
    assert published.asked == 2  # once for each document
    assert await issuer.authenticate(SIGNER.sign({**CLAIMS, "iss": "https://elsewhere"}), clock) is None


@pytest.mark.parametrize(
    ("claims", "why"),
    [
        ({"aud": "other"}, 'expected audience in \\["workshop"\\] got \\["other"\\]'),
        ({"exp": 999}, "token is expired"),
        ({"hd": "evil.com"}, "required claim hd value does not match. Got = evil.com, want = example.com"),
        ({"sub": "root"}, "error evaluating user info validation rule: not you"),
        ({"roles": 5}, "no such overload"),
        ({"sub": 7}, "parse username claims"),
    ],
)
async def test_a_token_that_is_not_believed(
    published: Published, clock: StillClock, claims: dict[str, Any], why: str
) -> None:
    with pytest.raises(InvalidToken, match=why):
        await Issuer(TRUSTED, published.get).authenticate(SIGNER.sign({**CLAIMS, **claims}), clock)


async def test_an_issuer_may_change_its_keys(published: Published, clock: StillClock) -> None:
    issuer = Issuer(TRUSTED, published.get)
    assert await issuer.authenticate(SIGNER.sign(CLAIMS), clock)
    published.keys = [OTHER.key.jwk()]
    with pytest.raises(InvalidToken):
        await issuer.authenticate(OTHER.sign(CLAIMS), clock)  # it was asked just now
    clock.time += 11
    assert await issuer.authenticate(OTHER.sign(CLAIMS), clock)


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"jwt": [{**TRUSTED, "issuer": {"url": "http://a", "audiences": ["x"]}}]}, "URL scheme must be https"),
        ({"jwt": [TRUSTED, TRUSTED]}, r"jwt\[1\].issuer.url: Duplicate value"),
        ({"jwt": [{**TRUSTED, "issuer": {"url": URL}}]}, "at least one jwt\\[0\\].issuer.audiences is required"),
        (
            {"jwt": [{**TRUSTED, "claimMappings": {"username": {"claim": "sub"}}}]},
            "prefix is required when claim is set",
        ),
        ({"jwt": [{**TRUSTED, "claimMappings": {"username": {"expression": "claims."}}}]}, "compilation failed"),
        ({"anonymous": {"enabled": False, "conditions": [{"path": "/a"}]}}, "enabled should be set to true"),
        ({"kind": "Other"}, 'no kind "Other" is registered'),
        ({"jwts": []}, 'unknown field "jwts"'),
    ],
)
def test_a_file_that_cannot_be(change: dict[str, Any], why: str) -> None:
    text = {"apiVersion": "apiserver.config.k8s.io/v1", "kind": "AuthenticationConfiguration", **change}
    with pytest.raises(ValueError, match=why):
        load(yaml.safe_dump(text).encode())


async def test_anonymous_callers_are_let_in_where_the_file_says(tmp_path: Path) -> None:
    file = tmp_path / "authentication.yaml"
    anonymous = {"enabled": True, "conditions": [{"path": "/livez"}, {"path": "/readyz"}]}
    file.write_text(
        yaml.safe_dump(
            {"apiVersion": "apiserver.config.k8s.io/v1", "kind": "AuthenticationConfiguration", "anonymous": anonymous}
        )
    )
    async with running(assembled(authentication_config=str(file))) as server:
        api = caller(server)
        assert (await api("GET", "/livez")).status == 200
        assert (await api("GET", "/version")).status == 401
        assert (await api("GET", "/api/v1/pods")).status == 401
