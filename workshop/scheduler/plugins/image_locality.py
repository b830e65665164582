"""Prefer nodes that have the pod's images already. Upstream: `pkg/scheduler/framework/plugins/imagelocality`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from workshop.scheduler.framework import MAX_SCORE, CycleState, Plugin
from workshop.scheduler.node_info import NodeInfo, PodInfo, Snapshot

MEGABYTE = 1024 * 1024
LEAST, MOST = 23 * MEGABYTE, 1000 * MEGABYTE
"""Less is pulled in a moment; more per container makes no difference any more."""


class ImageLocality(Plugin):
    name = "ImageLocality"

    def pre_score(self, state: CycleState, pod: PodInfo, nodes: Sequence[NodeInfo], snapshot: Snapshot) -> None:
        """An image counts by the share of nodes that have it, so that not all pods go where the first one went."""
        wanted = set(images(pod))
        spread = {}
        for image in wanted:
            holders = sum(image in node.images for node in snapshot.nodes.values())
            if holders:
                spread[image] = holders / len(snapshot.nodes)
        if not spread:
            state.skip_score.add(self.name)
        state.notes[self.name] = spread

    def score(self, state: CycleState, pod: PodInfo, node: NodeInfo) -> int:
        spread: dict[str, float] = state.notes[self.name]
        total = sum(int(node.images.get(image, 0) * spread.get(image, 0.0)) for image in images(pod))
        most = MOST * max(1, len(pod.spec.get("containers") or ()) + len(pod.spec.get("initContainers") or ()))
        return MAX_SCORE * (min(max(total, LEAST), most) - LEAST) // (most - LEAST)


def images(pod: PodInfo) -> Iterator[str]:
    for container in (*(pod.spec.get("initContainers") or ()), *(pod.spec.get("containers") or ())):
        yield normalized(container.get("image") or "")


def normalized(image: str) -> str:
    """With its tag, as a node's status lists it."""
    return image if ":" in image.rpartition("/")[2] or "@" in image else f"{image}:latest"
