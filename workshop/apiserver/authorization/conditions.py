"""The matchConditions of an authorization webhook: what their expressions may name."""

from __future__ import annotations

from functools import cache
from typing import Any

_TEXT = {"type": "string"}
_TEXTS = {"type": "array", "items": _TEXT}


@cache
def environment() -> Any:
    """`request` is the review's spec."""
    from workshop.api.cel.environment import Environment
    from workshop.api.cel.policies import message
    from workshop.api.cel.types import Declared

    requirement = message("SelectorRequirement", key=_TEXT, operator=_TEXT, values=_TEXTS)

    def selector(own_name: str) -> dict[str, Any]:
        return message(own_name, rawSelector=_TEXT, requirements={"type": "array", "items": requirement})

    review = message(
        "SubjectAccessReviewSpec",
        resourceAttributes=message(
            "ResourceAttributes",
            **dict.fromkeys(("namespace", "verb", "group", "version", "resource", "subresource", "name"), _TEXT),
            fieldSelector=selector("FieldSelectorAttributes"), labelSelector=selector("LabelSelectorAttributes"),
        ),
        nonResourceAttributes=message("NonResourceAttributes", path=_TEXT, verb=_TEXT),
        user=_TEXT, uid=_TEXT, groups=_TEXTS, extra={"type": "object", "additionalProperties": _TEXTS},
    )  # fmt: skip
    return Environment({"request": Declared(review)})
