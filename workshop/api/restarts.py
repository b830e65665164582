"""Whether a container that has ended is started again: the pod's policy, its own one, and its rules by exit code.

A rule comes before the container's policy, and that before the pod's:

    restartPolicy: Never                      # of the container; the pod may say Always
    restartPolicyRules:
    - {action: Restart, exitCodes: {operator: In, values: [42]}}

With the action RestartAllContainers the whole pod begins anew, init containers included, in the same sandbox.
Upstream: `pkg/api/v1/pod/util.go` (`ContainerShouldRestart`). Pure.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

ALL = "RestartAllContainers"


def matching_rule(container: Mapping[str, Any], exit_code: int) -> Mapping[str, Any] | None:
    """The first of the container's rules that speaks of this exit code.

    >>> rule = {"action": "Restart", "exitCodes": {"operator": "In", "values": [3]}}
    >>> matching_rule({"restartPolicyRules": [rule]}, 3)["action"]
    'Restart'
    """
    for rule in container.get("restartPolicyRules") or ():
        codes = rule.get("exitCodes")
        if codes and (exit_code in (codes.get("values") or ())) == (codes.get("operator") == "In"):
            found: Mapping[str, Any] = rule
            return found
    return None


def policy_of(spec: Mapping[str, Any], container: Mapping[str, Any]) -> str:
    """The container's own policy, or the pod's."""
    return str(container.get("restartPolicy") or spec.get("restartPolicy") or "Always")


def restarts_after(spec: Mapping[str, Any], container: Mapping[str, Any], exit_code: int) -> bool:
    """Whether a container that ended with this code is started again."""
    rule = matching_rule(container, exit_code) if container.get("restartPolicy") else None
    if rule is not None and rule.get("action") in ("Restart", ALL):
        return True
    policy = policy_of(spec, container)
    return policy == "Always" or (policy == "OnFailure" and exit_code != 0)


def asks_for_all(container: Mapping[str, Any], exit_code: int) -> bool:
    """Whether this end has the whole pod begin anew."""
    rule = matching_rule(container, exit_code)
    return rule is not None and rule.get("action") == ALL


def _rules(spec: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    for container in [*(spec.get("initContainers") or ()), *(spec.get("containers") or ())]:
        yield from container.get("restartPolicyRules") or ()


def may_restart_all(spec: Mapping[str, Any]) -> bool:
    """Whether any rule can have the whole pod begin anew."""
    return any(rule.get("action") == ALL for rule in _rules(spec))
