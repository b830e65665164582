"""DefaultIngressClass: an Ingress that names no class gets the default one.

Upstream: `plugin/pkg/admission/network/defaultingressclass/admission.go`.
"""

from __future__ import annotations

from workshop.api import meta
from workshop.api.meta import name
from workshop.api.resources import resource
from workshop.apiserver.admission.plugin import Plugin, section
from workshop.apiserver.admission.storage import newest_default
from workshop.apiserver.interfaces import AdmissionRequest

DEFAULT_CLASS = ("ingressclass.kubernetes.io/is-default-class",)
CLASS_ANNOTATION = "kubernetes.io/ingress.class"


class DefaultIngressClass(Plugin):
    name = "DefaultIngressClass"
    operations = ("CREATE",)
    resources = ("ingresses.networking.k8s.io",)

    async def admit(self, request: AdmissionRequest) -> None:
        spec = section(request.object, "spec")
        if spec.get("ingressClassName") is not None or meta.annotations(request.object).get(CLASS_ANNOTATION):
            return
        default = newest_default(await self.context.list(resource("ingressclasses.networking.k8s.io")), DEFAULT_CLASS)
        if default is not None:
            spec["ingressClassName"] = name(default)
