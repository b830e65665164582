"""Subresources: a second door to an object, with rights of its own.

    status                 the same object, but only its status changes
    scale                  the number of replicas of any workload, in one form (autoscaling/v1 Scale): scale.py
    binding                the scheduler's word: this pod goes to that node: bindings.py
    eviction               a deletion that a PodDisruptionBudget may refuse (429): evictions.py
    approval, finalize, ephemeralcontainers, resize    a part of the object each

Upstream: pkg/registry/core/pod/storage/storage.go, pkg/registry/apps/*/storage/storage.go.
"""

from __future__ import annotations

from workshop.api import errors
from workshop.api.resources import Resource
from workshop.apiserver.cacher import Cacher
from workshop.apiserver.server.http import Request, Response

from .bindings import Bindings
from .evictions import Evictions
from .resources import Resources
from .scale import Scales

WHOLE_OBJECT = ("status", "approval", "finalize", "ephemeralcontainers", "resize")


class Subresources:
    """What is served below an object's name, but for what a kubelet answers."""

    def __init__(self, resources: Resources, cacher: Cacher) -> None:
        self._resources = resources
        self._scales, self._evictions, self.bindings = (
            Scales(resources),
            Evictions(resources, cacher),
            Bindings(resources),
        )

    async def handle(self, request: Request, res: Resource) -> Response:
        name, verb = request.info.subresource, request.info.verb
        sub = res.subresource(name)
        if sub is None:
            raise errors.no_such_path()
        if verb not in sub.verbs:
            raise errors.not_allowed()
        if name in WHOLE_OBJECT:
            match verb:
                case "get":
                    return await self._resources.get(request, res)
                case "update":
                    return await self._resources.update(request, res, name)
                case _:
                    return await self._resources.patch(request, res, name)
        match name:
            case "scale":
                return await self._scales.handle(request, res)
            case "binding":
                return await self.bindings.create(request)
            case "eviction":
                return await self._evictions.create(request)
        raise errors.method_not_supported(res, verb)
