"""A place in the chain for a learner's own rule. Only in a server that was started for a lab; upstream has none.

The stock rule objects to nothing. `cluster.swap("kube-apiserver", review)` puts another in its place.
"""

from __future__ import annotations

from workshop.api.meta import Obj
from workshop.apiserver.admission.plugin import Plugin, forbidden
from workshop.apiserver.interfaces import AdmissionRequest
from workshop.hooks import hook


@hook("kube-apiserver")
def review(operation: str, resource: str, obj: Obj, user: str) -> str:
    """Why the write is refused, in a sentence; "" lets it pass. `resource` is such as `deployments.apps`.

    `obj` is as it would be stored ({} for DELETE), `operation` CREATE, UPDATE or DELETE.
    """
    return ""


class Learner(Plugin):
    name = "Learner"
    operations = ("CREATE", "UPDATE", "DELETE")

    async def validate(self, request: AdmissionRequest) -> None:
        why = review(request.operation, request.resource.group_resource, request.object, request.user.name)
        if why:
            raise forbidden(request, why)
