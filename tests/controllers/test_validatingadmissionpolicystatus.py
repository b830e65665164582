"""What a policy's status says of its expressions: as kube-controller-manager 1.36.2 wrote it for the same policies."""

from __future__ import annotations

from typing import Any

from tests.api_server import assembled, caller, running
from workshop.api.cel import typecheck
from workshop.api.meta import key_of
from workshop.api.resources import resource
from workshop.client.asgi import AsgiTransport
from workshop.client.rest import Client
from workshop.controllers.validatingadmissionpolicystatus import POLICIES, ValidatingAdmissionPolicyStatusController

EXPECTED = [
    (
        "spec.validations[0].expression",
        "apps/v1, Kind=Deployment: ERROR: <input>:1:22: found no matching overload for '_>_' applied to '(int, string)'\n"
        " | object.spec.replicas > 'x'\n | .....................^\n",
    ),
    (
        "spec.validations[2].expression",
        "apps/v1, Kind=Deployment: ERROR: <input>:1:46: undefined field 'imagex'\n"
        " | object.spec.template.spec.containers.all(c, c.imagex == '')\n"
        " | .............................................^\n",
    ),
]
EXPRESSIONS = [
    "object.spec.replicas > 'x'",
    "variables.n > 1 && object.spec.template.spec.containers.all(c, c.image.startsWith('a'))",
    "object.spec.template.spec.containers.all(c, c.imagex == '')",
]


def policy(*expressions: str, **rule: list[str]) -> dict[str, Any]:
    rules = [{"apiGroups": ["apps"], "apiVersions": ["v1"], "resources": ["deployments"], "operations": ["*"], **rule}]
    return {
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": "ValidatingAdmissionPolicy",
        "metadata": {"name": "p"},
        "spec": {
            "matchConstraints": {"resourceRules": rules},
            "variables": [{"name": "n", "expression": "object.spec.replicas"}],
            "validations": [{"expression": each} for each in expressions],
        },
    }


class Alone:
    """A context of one controller, whose policies the test hands in."""

    class Store:
        def __init__(self) -> None:
            self.store, self.kept = self, dict[Any, Any]()

        def get(self, key: Any) -> Any:
            return self.kept.get(key.name)

        def add_handler(self, *handlers: Any) -> None:
            return None

    def __init__(self, client: Client) -> None:
        self.client, self.policies = client, self.Store()

    def queue(self) -> None:
        return None

    def informer(self, name: str) -> Alone.Store:
        assert resource(name) == POLICIES
        return self.policies


async def test_the_status_tells_what_cannot_be_right() -> None:
    async with running(assembled()) as server:
        api, client = caller(server), Client(AsgiTransport(server.app))
        made = (await api("POST", POLICIES.path(), policy(*EXPRESSIONS))).json
        context = Alone(client)
        context.policies.kept["p"] = made
        controller = ValidatingAdmissionPolicyStatusController(context)  # type: ignore[arg-type]
        await controller.sync(key_of(made))
        told = (await api("GET", f"{POLICIES.path()}/p")).json["status"]
    assert told["observedGeneration"] == 1
    assert [(each["fieldRef"], each["warning"]) for each in told["typeChecking"]["expressionWarnings"]] == EXPECTED


def test_a_star_is_nothing_to_look_at() -> None:
    assert typecheck.asked_resources(policy("true", apiGroups=["*"])) == []
    found = typecheck.asked_resources(policy("true", resources=["*", "deployments/scale", "replicasets", "daemonsets"]))
    assert found == [("apps", "v1", "daemonsets"), ("apps", "v1", "replicasets")]


def test_what_may_be_of_several_types_is_no_field() -> None:
    components = {
        "Quantity": {"oneOf": [{"type": "string"}, {"type": "number"}]},
        "Port": {"format": "int-or-string", "oneOf": [{"type": "integer"}, {"type": "string"}]},
        "Kind": {
            "type": "object",
            "properties": {
                "cpu": {"allOf": [{"$ref": "#/components/schemas/Quantity"}]},
                "port": {"$ref": "#/components/schemas/Port"},
                "again": {"$ref": "#/components/schemas/Kind"},
            },
        },
    }
    told = typecheck.resolved("Kind", components)
    assert told["properties"] == {"port": {"x-kubernetes-int-or-string": True}}
