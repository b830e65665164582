"""Which rules a definition may have, by what they would cost at worst: each, and all of a schema together.

A rule below a list is judged once for each element, so its estimate is taken that often; where a list has no maxItems,
as often as elements fit into one request. Upstream: apiextensions-apiserver/pkg/apis/apiextensions/validation,
validation.go and cel_validation.go.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from workshop.api.cel import types
from workshop.api.cel.environment import Program
from workshop.api.cel.estimate import estimated
from workshop.api.cel.lengths import most_often, sizes_of
from workshop.api.cel.ranges import MOST
from workshop.api.validation.field import ErrorList

Schema = Mapping[str, Any]
MOST_OF_ONE, MOST_OF_ALL = 10_000_000, 100_000_000
WORTH_TELLING = MOST_OF_ALL // 100
ADVICE = (
    "(try simplifying the rule, or adding maxItems, maxProperties, and maxLength where arrays, maps, and strings are "
    "declared)"
)


def often(schema: Schema, so_far: int | None) -> int | None:
    """How many values there may be below `schema`, of which there may be `so_far`; None if nothing bounds them."""
    of: Any = 1
    if schema.get("type") == "array":
        of = schema.get("maxItems")
    elif schema.get("type") == "object" and schema.get("additionalProperties"):
        of = schema.get("maxProperties")
    return None if of is None or so_far is None else min(so_far * max(of, 0), MOST)


@dataclass
class Costs:
    """What the rules of one schema come to. `forgiving`: an update left the schema as it was."""

    forgiving: bool = False
    total: int = 0
    dearest: list[tuple[int, str]] = field(default_factory=list)

    def rule(self, errors: ErrorList, at: str, program: Program, schema: Schema, times: int | None) -> None:
        cost = min(_cost(program, schema) * (most_often(schema) if times is None else times), MOST)
        self._judge(errors, f"{at}.rule", "estimated rule cost", cost)

    def message(self, errors: ErrorList, at: str, program: Program, schema: Schema) -> None:
        cost = _cost(program, schema)
        self._judge(errors, f"{at}.messageExpression", "estimated messageExpression cost", cost)

    def _judge(self, errors: ErrorList, at: str, name: str, cost: int) -> None:
        if cost > MOST_OF_ONE and not self.forgiving:
            errors.forbidden(at, too_dear(name, cost, MOST_OF_ONE))
        self.total = min(self.total + cost, MOST)
        if cost >= WORTH_TELLING:
            self.dearest = sorted([*self.dearest, (cost, at)], key=lambda each: -each[0])[:4]

    def close(self, errors: ErrorList, at: str) -> None:
        """All of them together."""
        if self.total <= MOST_OF_ALL:
            return
        for _, place in self.dearest:
            errors.forbidden(
                place, "contributed to estimated rule cost total exceeding cost limit for entire OpenAPIv3 schema"
            )
        name = "x-kubernetes-validations estimated rule cost total for entire OpenAPIv3 schema"
        errors.forbidden(at, too_dear(name, self.total, MOST_OF_ALL))


def _cost(program: Program, schema: Schema) -> int:
    tree = program.checked
    return 0 if tree is None else estimated(tree, sizes_of(schema, types.escape)).most


def too_dear(name: str, cost: int, limit: int) -> str:
    times = cost / limit
    factor = "more than 100x" if times > 100 else f"{times:f}x" if times < 1.5 else f"{times:.1f}x"
    return f"{name} exceeds budget by factor of {factor} {ADVICE}"
