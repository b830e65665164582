"""What writing an APIService does differently: one that is served here is available at once.

Upstream: kube-aggregator/pkg/registry/apiservice/strategy.go.
"""

from __future__ import annotations

from workshop.api.meta import Obj
from workshop.api.resources import Resource
from workshop.apiserver.registry.strategy import Strategy, Write
from workshop.clock import Clock

from . import local


class APIServices(Strategy):
    def __init__(self, resource: Resource, clock: Clock) -> None:
        super().__init__(resource)
        self._clock = clock
        self.counts_generation = False
        self.allows_unconditional_update = False

    def prepare_for_create(self, obj: Obj, write: Write) -> None:
        obj["status"] = {}
        if local.is_local(obj):
            obj["status"] = {"conditions": [local.available(self._clock.now())]}
