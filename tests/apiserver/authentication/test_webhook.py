"""A webhook that knows tokens."""

from __future__ import annotations

from typing import Any

import pytest

from tests.virtual_clock import HastyClock
from workshop.apiserver.authentication.chain import Authentication
from workshop.apiserver.authentication.jwt import InvalidToken
from workshop.apiserver.authentication.webhook import WebhookTokens
from workshop.apiserver.interfaces import UserInfo
from workshop.apiserver.webhooks.remote import NoAnswer

JANE = {"username": "jane", "uid": "7", "groups": ["developers"], "extra": {"a": ["b"]}}


class Server:
    """Answers with `answers`, in order; the last one again and again."""

    def __init__(self, *answers: Any) -> None:
        self.answers, self.asked = list(answers), list[Any]()

    async def post(self, review: Any) -> Any:
        self.asked.append(review)
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, Exception):
            raise answer
        return {"status": answer}


def tokens(server: Server, clock: HastyClock | None = None) -> WebhookTokens:
    return WebhookTokens("", "v1", 120.0, ["api"], clock or HastyClock(), server.post)


async def test_a_token_that_it_knows_is_remembered_for_a_while() -> None:
    server, clock = Server(NoAnswer("503", again=True), {"authenticated": True, "user": JANE}), HastyClock()
    known = tokens(server, clock)
    jane = UserInfo("jane", "7", ("developers",), {"a": ["b"]})
    assert [await known.authenticate("t", None) for _ in range(2)] == [(jane, ["api"])] * 2
    assert len(server.asked) == 2  # one of them in vain
    assert server.asked[0]["apiVersion"] == "authentication.k8s.io/v1"
    assert server.asked[0]["spec"] == {"token": "t", "audiences": ["api"]}
    await known.authenticate("t", ["other"])
    clock.time += 121
    await known.authenticate("t", None)
    assert len(server.asked) == 4
    user = await Authentication(webhook=known).authenticate(None, [("authorization", "Bearer t")])
    assert user.groups == ("developers", "system:authenticated")


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        ({"error": "token is too old"}, "token is too old"),
        (NoAnswer("403: no", again=False), "403: no"),
        (NoAnswer("503: busy", again=True), "503: busy"),
    ],
)
async def test_no_word_is_no_user(answer: Any, said: str) -> None:
    with pytest.raises(InvalidToken, match=said):
        await tokens(Server(answer)).authenticate("t", None)


async def test_what_it_does_not_know_or_what_is_for_others() -> None:
    unknown = Server({"authenticated": False})
    assert [await tokens(unknown).authenticate("t", None) for _ in range(2)] == [None, None]
    assert len(unknown.asked) == 2
    others = Server({"authenticated": True, "user": JANE, "audiences": ["elsewhere"]})
    assert await tokens(others).authenticate("t", None) is None
