"""TokenRequest and the reviews, over fakes: what is issued is believed, what is wrong is told."""

from __future__ import annotations

import json
from random import Random
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from tests.virtual_clock import StillClock
from workshop.api.errors import ApiError
from workshop.apiserver.authentication import issuer as issuing
from workshop.apiserver.authentication import jwt
from workshop.apiserver.authentication.chain import Authentication
from workshop.apiserver.authentication.issuer import TokenIssuer
from workshop.apiserver.authentication.jwt import Signer
from workshop.apiserver.authentication.reviews import IdentityReviews
from workshop.apiserver.authentication.serviceaccount import ServiceAccountTokens
from workshop.apiserver.interfaces import UserInfo

ISSUER = "https://kubernetes.default.svc.cluster.local"
NOW = 1_800_000_000.0
SIGNER = Signer(ec.generate_private_key(ec.SECP256R1()))


class Cluster:
    def __init__(self) -> None:
        meta = {"name": "bot", "namespace": "default", "uid": "sa-1"}
        self.objects: dict[tuple[str, str, str], dict[str, Any]] = {
            ("serviceaccounts", "default", "bot"): {"metadata": meta},
            ("pods", "default", "web"): {
                "metadata": {"name": "web", "namespace": "default", "uid": "pod-1"},
                "spec": {"serviceAccountName": "bot", "nodeName": "n1"},
            },
            ("nodes", "", "n1"): {"metadata": {"name": "n1", "uid": "node-1"}},
        }
        self.issuer = TokenIssuer(SIGNER, ISSUER, [ISSUER], self.get, StillClock(), Random(1))
        self.warnings: list[str] = []

    async def get(self, plural: str, namespace: str, name: str) -> dict[str, Any] | None:
        return self.objects.get((plural, namespace, name))

    async def request(self, name: str = "bot", **spec: Any) -> dict[str, Any]:
        prepared = await self.issuer.prepare({"spec": spec}, "default", name)
        return await self.issuer.create(prepared, "default", name, self.warnings)


def claims(answer: dict[str, Any]) -> dict[str, Any]:
    return jwt.verify(answer["status"]["token"], [SIGNER.key])


POD = {"apiVersion": "v1", "kind": "Pod", "name": "web"}


async def test_a_plain_token() -> None:
    answer = await Cluster().request()
    assert answer["spec"] == {"audiences": [ISSUER], "expirationSeconds": 3600, "boundObjectRef": None}
    assert answer["status"]["expirationTimestamp"] == "2027-01-15T09:00:00Z"
    issued = claims(answer)
    assert (issued["sub"], issued["aud"]) == ("system:serviceaccount:default:bot", [ISSUER])
    assert (issued["iat"], issued["nbf"], issued["exp"]) == (NOW, NOW, NOW + 3600)
    assert issued["kubernetes.io"] == {"namespace": "default", "serviceaccount": {"name": "bot", "uid": "sa-1"}}


async def test_a_pods_token_lives_a_year_and_warns_after_an_hour() -> None:
    answer = await Cluster().request(boundObjectRef=POD, expirationSeconds=3607)
    issued = claims(answer)
    assert issued["kubernetes.io"]["pod"] == {"name": "web", "uid": "pod-1"}
    assert issued["kubernetes.io"]["node"] == {"name": "n1", "uid": "node-1"}
    assert issued["exp"] - NOW == 365 * 24 * 3600
    assert issued["kubernetes.io"]["warnafter"] == NOW + 3607
    assert answer["status"]["expirationTimestamp"] == "2027-01-15T09:00:07Z"


async def test_no_extension_for_other_audiences() -> None:
    issued = claims(await Cluster().request(boundObjectRef=POD, expirationSeconds=3607, audiences=["vault"]))
    assert issued["exp"] - NOW == 3607 and "warnafter" not in issued["kubernetes.io"]


@pytest.mark.parametrize(
    ("spec", "code", "message"),
    [
        ({"expirationSeconds": 599}, 422, "may not specify a duration less than 10 minutes"),
        ({"expirationSeconds": 2**33}, 422, "may not specify a duration larger than 2^32 seconds"),
        ({"boundObjectRef": {**POD, "name": "gone"}}, 404, 'pods "gone" not found'),
        ({"boundObjectRef": {**POD, "uid": "other"}}, 409, "does not match the UID in record"),
        ({"boundObjectRef": {**POD, "kind": "Foo"}}, 400, "cannot bind token to object of type /v1, Kind=Foo"),
    ],
)
async def test_refusals(spec: dict[str, Any], code: int, message: str) -> None:
    with pytest.raises(ApiError) as e:
        await Cluster().request(**spec)
    assert e.value.code == code and message in e.value.message


async def test_unknown_account_and_foreign_pod() -> None:
    cluster = Cluster()
    with pytest.raises(ApiError, match='serviceaccounts "gone" not found'):
        await cluster.request("gone")
    cluster.objects["serviceaccounts", "default", "other"] = {
        "metadata": {"name": "other", "namespace": "default", "uid": "2"}
    }
    with pytest.raises(ApiError, match="to pod running with different serviceaccount name"):
        await cluster.request("other", boundObjectRef=POD)


async def test_token_review_of_what_was_issued() -> None:
    cluster = Cluster()
    accounts = ServiceAccountTokens([ISSUER], [SIGNER.key], [ISSUER], cluster.get, StillClock())
    reviews = IdentityReviews(Authentication(service_accounts=accounts, audiences=[ISSUER]), StillClock())
    token = (await cluster.request())["status"]["token"]
    asker = UserInfo("kubelet")
    status = (await reviews.token_review({"spec": {"token": token}}, asker))["status"]
    assert status["authenticated"] and status["audiences"] == [ISSUER]
    assert status["user"]["groups"][-1] == "system:authenticated"
    wrong = (await reviews.token_review({"spec": {"token": token, "audiences": ["x"]}}, asker))["status"]
    assert wrong == {
        "user": {},
        "error": f'[invalid bearer token, token audiences ["{ISSUER}"] is invalid for the target audiences ["x"]]',
    }
    assert (await reviews.token_review({"spec": {"token": "abc"}}, asker))["status"]["error"] == "invalid bearer token"
    with pytest.raises(ApiError, match="token is required"):
        await reviews.token_review({"spec": {}}, asker)


async def test_who_am_i() -> None:
    user = UserInfo("jane", "42", ("a",), {"k": ["v"]})
    answer = await IdentityReviews(Authentication(), StillClock()).self_subject_review(
        {"kind": "SelfSubjectReview"}, user
    )
    assert answer["status"]["userInfo"] == {"username": "jane", "uid": "42", "groups": ["a"], "extra": {"k": ["v"]}}


def test_openid_documents() -> None:
    (key,) = json.loads(issuing.jwks([SIGNER.key]))["keys"]
    assert (key["kty"], key["crv"], key["alg"], key["kid"]) == ("EC", "P-256", "ES256", SIGNER.key.id)
    document = json.loads(issuing.openid_configuration(ISSUER, "https://x/openid/v1/jwks", [SIGNER.key]))
    assert document["id_token_signing_alg_values_supported"] == ["ES256"]
