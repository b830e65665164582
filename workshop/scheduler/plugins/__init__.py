"""The plugins of the default profile, in the order in which they run, with the weights of their scores.

Upstream: `pkg/scheduler/apis/config/v1/default_plugins.go`.
"""

from __future__ import annotations

from collections.abc import Callable

from workshop.api.labels import Selector
from workshop.scheduler.framework import Framework, Plugin
from workshop.scheduler.node_info import PodInfo
from workshop.scheduler.plugins.dynamic_resources import DynamicResources
from workshop.scheduler.plugins.image_locality import ImageLocality
from workshop.scheduler.plugins.inter_pod_affinity import InterPodAffinity
from workshop.scheduler.plugins.node_affinity import NodeAffinity
from workshop.scheduler.plugins.node_name import NodeName
from workshop.scheduler.plugins.node_ports import NodePorts
from workshop.scheduler.plugins.node_resources_balanced_allocation import NodeResourcesBalancedAllocation
from workshop.scheduler.plugins.node_resources_fit import NodeResourcesFit
from workshop.scheduler.plugins.node_unschedulable import NodeUnschedulable
from workshop.scheduler.plugins.pod_topology_spread import PodTopologySpread
from workshop.scheduler.plugins.scheduling_gates import SchedulingGates
from workshop.scheduler.plugins.taint_toleration import TaintToleration
from workshop.scheduler.plugins.volume_binding import VolumeBinding

DefaultSelector = Callable[[PodInfo], Selector | None]
"""The pods that belong together with a pod: those of its Services and its controller. None when there are none."""


def default_plugins(
    default_selector: DefaultSelector = lambda pod: None,
    volume_binding: VolumeBinding | None = None,
    dynamic_resources: DynamicResources | None = None,
) -> list[tuple[Plugin, int]]:
    return [
        (SchedulingGates(), 0),
        (NodeUnschedulable(), 0),
        (NodeName(), 0),
        (TaintToleration(), 3),
        (NodeAffinity(), 2),
        (NodePorts(), 0),
        (NodeResourcesFit(), 1),
        (volume_binding or VolumeBinding(), 0),
        (PodTopologySpread(default_selector), 2),
        (InterPodAffinity(), 2),
        (dynamic_resources or DynamicResources(), 0),
        (NodeResourcesBalancedAllocation(), 1),
        (ImageLocality(), 1),
    ]


def default_framework(
    default_selector: DefaultSelector = lambda pod: None,
    volume_binding: VolumeBinding | None = None,
    dynamic_resources: DynamicResources | None = None,
    *,
    name: str = "default-scheduler",
    disabled: frozenset[str] = frozenset(),
    weights: dict[str, int] | None = None,
) -> Framework:
    """`disabled` names plugins that are left out (`*` all); `weights` replaces those of scores."""
    chosen = [
        (plugin, (weights or {}).get(plugin.name, weight))
        for plugin, weight in default_plugins(default_selector, volume_binding, dynamic_resources)
        if plugin.name not in disabled and "*" not in disabled
    ]
    return Framework(chosen, name)
