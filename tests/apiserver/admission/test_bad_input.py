"""Mutating plugins and allocators meet objects that nobody has validated: they refuse, or leave it to validation."""

from __future__ import annotations

import copy
from random import Random
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from workshop.api.errors import ApiError
from workshop.api.resources import resource
from workshop.apiserver.admission import plugins
from workshop.apiserver.allocators import families
from workshop.apiserver.allocators.services import ServiceAllocator
from workshop.apiserver.interfaces import AdmissionRequest, UserInfo
from workshop.apiserver.storage.memory import MemoryStorage
from workshop.clock import SYSTEM

WHOLE: dict[str, dict[str, Any]] = {
    "pods": {
        "metadata": {"name": "web", "annotations": {"a": "b"}, "ownerReferences": [{"uid": "1"}]},
        "spec": {
            "nodeName": "n1",
            "runtimeClassName": "vm",
            "serviceAccountName": "bot",
            "tolerations": [{"key": "x", "effect": "y"}],
            "volumes": [{"name": "v", "projected": {"sources": [{"secret": {"name": "s"}}]}}],
            "containers": [
                {
                    "name": "c",
                    "resources": {"limits": {"cpu": "1"}},
                    "env": [{"name": "e", "valueFrom": {"secretKeyRef": {"name": "s"}}}],
                    "volumeMounts": [{"name": "m", "mountPath": "/m"}],
                }
            ],
        },
    },
    "services": {
        "metadata": {"name": "s"},
        "spec": {
            "type": "LoadBalancer",
            "clusterIP": "not an address",
            "clusterIPs": ["not an address"],
            "ipFamilies": ["IPv5"],
            "externalTrafficPolicy": "Local",
            "ports": [{"port": 80, "protocol": "TCP", "nodePort": 30000}],
        },
    },
    "persistentvolumeclaims": {"metadata": {"name": "c"}, "spec": {"resources": {"requests": {"storage": "x"}}}},
    "ingresses": {"metadata": {"name": "i"}, "spec": {"rules": []}},
    "nodes": {"metadata": {"name": "n1", "labels": {"a": "b"}}, "spec": {"taints": [{"key": "k"}]}},
}


def prune(value: Any, random: Random, chance: float) -> Any:
    """A copy in which some fields are missing and some are null."""
    if isinstance(value, dict):
        kept = {k: prune(v, random, chance) for k, v in value.items() if k == "metadata" or random.random() > chance}
        return {
            k: (None if k != "metadata" and isinstance(v, dict | list) and random.random() < chance else v)
            for k, v in kept.items()
        }
    return [prune(v, random, chance) for v in value] if isinstance(value, list) else copy.copy(value)


class Nothing:
    """A cluster that holds a namespace, an account, and limits."""

    clock = SYSTEM
    random = Random(1)

    async def get(self, resource: Any, name: str, namespace: str = "") -> Any:
        return (
            {"metadata": {"name": name}}
            if resource.plural in ("namespaces", "serviceaccounts", "runtimeclasses")
            else None
        )

    get_live = get

    def shelf(self, resource: Any) -> dict[str, Any]:
        return {}

    async def list(self, resource: Any, namespace: str = "") -> Any:
        limits = [{"type": "Container", "default": {"cpu": "1"}}]
        return [{"metadata": {"name": "l"}, "spec": {"limits": limits}}] if resource.plural == "limitranges" else []


@settings(deadline=None, max_examples=100)
@given(st.sampled_from(sorted(WHOLE)), st.integers(0, 10_000), st.sampled_from([0.0, 0.2, 0.5]), st.booleans())
async def test_nothing_but_refusals(plural: str, seed: int, chance: float, is_node: bool) -> None:
    obj = prune(WHOLE[plural], Random(seed), chance)
    user = UserInfo("system:node:n1", groups=("system:nodes",)) if is_node else UserInfo("jane")
    kind = resource(plural)
    request = AdmissionRequest("CREATE", kind, "", "default" if kind.namespaced else "", "web", obj, None, user)
    chain = plugins.chain(Nothing(), ["NodeRestriction"])  # type: ignore[arg-type]
    try:
        await chain.admit(request)
        if plural == "services":
            families.prepare(obj, None)
            allocator = ServiceAllocator(["10.0.0.0/24"], (30000, 32767), MemoryStorage(), SYSTEM, Random(seed))
            await (await allocator.begin_create(obj)).commit()
    except ApiError:
        return
