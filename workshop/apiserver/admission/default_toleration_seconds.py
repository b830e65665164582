"""DefaultTolerationSeconds: a pod stays on a node that has become unreachable or not ready for five minutes.

Upstream: `plugin/pkg/admission/defaulttolerationseconds/admission.go`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from workshop.apiserver.admission.plugin import Plugin, section
from workshop.apiserver.interfaces import AdmissionRequest

SECONDS = 300
KEYS = ("node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable")


class DefaultTolerationSeconds(Plugin):
    name = "DefaultTolerationSeconds"
    resources = ("pods",)
    seconds = dict.fromkeys(KEYS, SECONDS)

    async def admit(self, request: AdmissionRequest) -> None:
        spec = section(request.object, "spec")
        missing = missing_tolerations(spec.get("tolerations") or [], self.seconds)
        if missing:
            spec["tolerations"] = [*(spec.get("tolerations") or []), *missing]


def missing_tolerations(tolerations: list[dict[str, Any]], seconds: Mapping[str, int]) -> list[dict[str, Any]]:
    """The two defaults, as far as no toleration of the pod speaks of their taints."""

    def spoken_of(key: str) -> bool:
        return any(t.get("key") in (key, None, "") and t.get("effect") in ("NoExecute", None, "") for t in tolerations)

    return [
        {"key": key, "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": seconds[key]}
        for key in KEYS
        if not spoken_of(key)
    ]
