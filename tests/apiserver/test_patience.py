"""Dear expressions and the others who wait."""

from __future__ import annotations

import asyncio
from threading import get_ident
from typing import Any

import pytest

from tests.api_server import Api, until
from workshop.api.cel.environment import Environment
from workshop.api.cel.quick import NotQuick, quickly
from workshop.api.cel.values import EvaluationError
from workshop.apiserver.patience import unhurried

DEAR = "self.all(x, self.all(y, x + y >= 0))"


@pytest.mark.parametrize(
    ("length", "about", "places"), [(3, "", "l"), (150, "", "lt"), (150, "authorizer.path(…)", "ll")]
)
async def test_what_takes_long_is_asked_again_in_a_thread(length: int, about: str, places: str) -> None:
    loop, seen = get_ident(), ""
    program = Environment({"self": "list"}).compile(DEAR, "bool")

    def work() -> Any:
        nonlocal seen
        seen += "l" if get_ident() == loop else "t"
        return program.run({"self": list(range(length))})

    assert await unhurried(work, about) is True
    assert seen == places


async def test_an_expression_that_is_too_dear_says_so_from_there_too() -> None:
    program = Environment({"self": "list"}).compile(DEAR, "bool")
    with pytest.raises(NotQuick), quickly():
        program.run({"self": list(range(1000))})
    with pytest.raises(EvaluationError, match="cost limit exceeded"):
        await unhurried(lambda: program.run({"self": list(range(1000))}))


async def test_several_small_ones_are_together_no_longer_than_a_moment() -> None:
    program = Environment({"self": "list"}).compile(DEAR, "bool")

    def work() -> int:
        return sum(program.run({"self": list(range(20))}) for _ in range(100))

    with pytest.raises(NotQuick), quickly():
        work()
    assert await unhurried(work) == 100


GROUP = "/apis/patience.example.com/v1/things"


async def test_a_definitions_dear_rule_lets_others_be_served(api: Api) -> None:
    numbers = {"type": "array", "maxItems": 200, "items": {"type": "integer", "maximum": 500}}
    rule = {"rule": "self.numbers.all(x, self.numbers.all(y, x + y >= 0))", "message": "none below zero"}
    schema = {"type": "object", "properties": {"numbers": numbers}, "x-kubernetes-validations": [rule]}
    names = {"plural": "things", "singular": "thing", "kind": "Thing", "listKind": "ThingList"}
    version = {"name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": schema}}
    spec = {"group": "patience.example.com", "scope": "Cluster", "names": names, "versions": [version]}
    definition = {
        "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": {"name": "things.patience.example.com"}, "spec": spec,
    }  # fmt: skip
    made = await api("POST", "/apis/apiextensions.k8s.io/v1/customresourcedefinitions", definition)
    assert made.status == 201, made.json

    async def served() -> bool:
        return (await api("GET", GROUP)).status == 200

    await until(served)

    def thing(name: str, first: int) -> Any:
        given = {"numbers": [first, *range(1, 150)]}
        return {"apiVersion": "patience.example.com/v1", "kind": "Thing", "metadata": {"name": name}, **given}

    working = asyncio.ensure_future(api("POST", GROUP, thing("good", 5)))
    others = 0
    while not working.done():
        await asyncio.sleep(0)
        others += (await api("GET", "/version")).status == 200
    assert (await working).status == 201
    assert others > 20  # of hundreds; a handful where the loop is held
    refused = await api("POST", GROUP, thing("bad", -9))
    assert refused.status == 422 and "none below zero" in refused.json["message"]
