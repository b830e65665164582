"""What validation refuses, against a real server's refusals (tests/api/real/bad.json)."""

import json
from pathlib import Path
from typing import Any

import pytest

from workshop.api import decode, defaults, validation
from workshop.api.resources import for_kind, resource

REAL = Path(__file__).parents[1] / "real"
BAD = json.loads((REAL / "bad.json").read_text())
GOOD = json.loads((REAL / "good.json").read_text())


def kind_of(row: dict[str, Any]) -> str:
    return str(row.get("object", row)["kind"])


@pytest.mark.parametrize("row", BAD, ids=kind_of)
def test_refused_as_the_real_one_does(row: dict[str, Any]) -> None:
    found = for_kind(row["object"]["apiVersion"], row["object"]["kind"])
    assert found is not None
    obj = defaults.apply(found, decode.decode(found, json.dumps(row["object"]), "Strict")[0])
    ours = sorted([e.path, e.reason, e.message] for e in validation.validate(found, obj))
    assert ours == sorted(row["causes"])


@pytest.mark.parametrize("obj", GOOD, ids=kind_of)
def test_accepted_as_the_real_one_does(obj: dict[str, Any]) -> None:
    found = for_kind(obj["apiVersion"], obj["kind"])
    assert found is not None
    assert validation.validate(found, obj) == []
    assert validation.validate_update(found, obj, obj) == []


def test_loopback_is_allowed_on_request() -> None:
    found = resource("endpoints")
    obj = {
        "metadata": {"name": "a"},
        "subsets": [{"addresses": [{"ip": "127.0.0.1"}], "ports": [{"port": 1, "protocol": "TCP"}]}],
    }
    assert len(validation.validate(found, obj)) == 1
    assert validation.validate(found, obj, allow_loopback=True) == []


def changed(kind: str, **spec: Any) -> tuple[Any, Any, Any]:
    old = next(obj for obj in GOOD if obj["kind"] == kind)
    found = for_kind(old["apiVersion"], kind)
    return found, {**old, "spec": {**old["spec"], **spec}}, old


def test_immutable_selectors() -> None:
    found, new, old = changed("Deployment", selector={"matchLabels": {"a": "b", "c": "d"}})
    errors = validation.validate_update(found, new, old)
    assert errors[-1].message.endswith("field is immutable") and errors[-1].path == "spec.selector"


def test_pods_may_change_their_image_and_little_else() -> None:
    found, new, old = changed("Pod")
    new["spec"]["containers"] = [{**old["spec"]["containers"][0], "image": "other"}]
    assert validation.validate_update(found, new, old) == []
    found, new, old = changed("Pod", hostname="other")
    (error,) = validation.validate_update(found, new, old)
    assert error.message.startswith(
        "Forbidden: pod updates may not change fields other than `spec.containers[*].image`"
    )
