"""What expressions cost: as cel-go with Kubernetes' libraries counts (1.36.2), recorded in `costs.json`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from workshop.api.cel.environment import Budget, CompileError, Environment
from workshop.api.cel.twofold import forms
from workshop.api.cel.values import EvaluationError

RECORDED = json.loads((Path(__file__).parent / "costs.json").read_text())
SELF = {"a": {"b": 3}, "i": 1, "items": [{"n": "b"}, {"n": "a"}]}
VALUES: dict[str, Any] = {
    "self": SELF, "s": "aab", "ls": ["b", "a"], "l": [3, 1, 2], "m": {"a": 1, "b": 2}, "n": 2,
}  # fmt: skip
ENVIRONMENT = Environment({"self": "dyn", "l": "dyn", "ls": "dyn", "s": "string", "m": "dyn", "n": "int"})


@pytest.mark.parametrize(("text", "cost"), RECORDED)
def test_every_step_costs_what_it_costs_upstream(text: str, cost: int) -> None:
    budget = Budget(1_000_000)
    ENVIRONMENT.compile(text).spend(VALUES, budget)
    assert 1_000_000 - budget.left == cost


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("['a', 'b'].transformList(i, v, string(i) + v)", ["0a", "1b"]),
        ("[1, 2, 3].transformList(i, v, v > 1, v * i)", [2, 6]),
        ("{'a': 1, 'b': 2}.transformMap(k, v, k == 'b', v + 1)", {"b": 3}),
        ("['x', 'y'].transformMapEntry(i, v, {v: i})", {"x": 0, "y": 1}),
        ("{'a': 1}.exists(k, v, k == 'a' && v == 1)", True),
        ("[1, 2].existsOne(i, v, v > i + 1)", False),
        ("['bb', 'a'].sortBy(x, x.size())", ["a", "bb"]),
        ("[[1], [2]].all(i, v, v.all(j, w, w == i + 1))", True),
    ],
)
def test_macros_that_the_library_does_not_know(text: str, value: Any) -> None:
    assert ENVIRONMENT.compile(text).run(VALUES) == value


def test_a_mistake_in_such_a_macro_is_told_at_its_place() -> None:
    with pytest.raises(CompileError) as failed:
        ENVIRONMENT.compile("s.size() == 3 && [1].all(i, v, w > i)")
    assert str(failed.value).startswith("ERROR: <input>:1:32: undeclared reference to 'w'")


def test_a_receiver_is_found_whole() -> None:
    assert [form for form, _ in forms("a && b.c(1)[0].d.all(i, v, v)")][
        1
    ] == "a && b.c(1)[0].d.all(i, [b.c(1)[0].d[i]].all(v, v))"


def test_several_expressions_share_a_budget() -> None:
    budget = Budget(30)
    program = ENVIRONMENT.compile("l.all(x, x > 0)")
    program.spend(VALUES, budget)
    assert not budget.gone
    program.spend(VALUES, budget)
    assert budget.gone


def test_nothing_catches_that_an_expression_is_too_dear() -> None:
    with pytest.raises(EvaluationError, match="actual cost limit exceeded"):
        ENVIRONMENT.compile("lists.range(1000).sort().size() == 0 || true").run(VALUES)
