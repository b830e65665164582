"""PURE: where everything stands on the map. Lanes from top to bottom; the browser only draws.

    control plane   its processes side by side
    nodes           cards in a grid; in each card its processes, and its pods in slots
    no node         pods that nobody has placed yet
    Services        in rows below

A pod keeps its slot for life, a new one takes the first free slot: nothing jumps while you look. The same changes in
the same order always give the same picture. Lengths are in units of a map that is WIDTH wide.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

WIDTH = 980
GAP, PAD = 14, 12
TITLE = 30
"""Height of a lane's title."""
HEAD = 66
"""Height of a card above its pods: the node's name, its processes."""
PROCESS = (234, 54)
SERVICE = (234, 58)
SMALL_SERVICE = (116, 26)
MANY_SERVICES = 40
UNPLACED = "Lane//no node"

Box = tuple[str, int, int, int, int]
"""(the card it is in or "", x, y, width, height); x and y count from the card's corner."""


@dataclass(frozen=True)
class Tile:
    """How big a pod is drawn: the more on one node, the smaller."""

    name: str
    width: int
    height: int
    gap: int
    most: int
    """Pods on the fullest node up to which tiles are this big."""


TILES = (Tile("name", 140, 30, 6, 12), Tile("sign", 34, 24, 5, 60), Tile("dot", 12, 12, 3, 10**9))


def columns(nodes: int) -> int:
    """Cards side by side.

    >>> [columns(n) for n in (1, 2, 3, 4, 5, 12, 30)]
    [1, 2, 3, 3, 3, 4, 5]
    """
    return max(1, nodes) if nodes <= 3 else 3 if nodes <= 6 else 4 if nodes <= 16 else 5


class Lanes:
    """Slots of pods, and the frame around them."""

    def __init__(self) -> None:
        self._slots: dict[str, list[str | None]] = {}
        self._where: dict[str, tuple[str, int]] = {}
        self._frame_of: Any = None
        self.tile = TILES[0]
        self.frame: dict[str, Box] = {}
        self.titles: list[dict[str, Any]] = []
        self.height = 0
        self._per_row = {"": 1}

    # -- pods --

    def enter(self, key: str, lane: str) -> bool:
        """Put a pod into `lane` (its node's key, or UNPLACED). True when that moved it."""
        if key in self._where and self._where[key][0] == lane:
            return False
        self.leave(key)
        slots = self._slots.setdefault(lane, [])
        place = slots.index(None) if None in slots else len(slots)
        slots[place : place + 1] = [key]
        self._where[key] = (lane, place)
        return True

    def leave(self, key: str) -> None:
        if key in self._where:
            lane, place = self._where.pop(key)
            slots = self._slots[lane]
            slots[place] = None
            while slots and slots[-1] is None:
                slots.pop()

    def pod(self, key: str) -> Box | None:
        """Its box within its card; None for one that nobody has entered."""
        if key not in self._where:
            return None
        lane, place = self._where[key]
        per_row = self._per_row.get(lane, 1)
        across, down = self.tile.width + self.tile.gap, self.tile.height + self.tile.gap
        left, top = (PAD, HEAD) if lane != UNPLACED else (0, TITLE)
        x, y = left + place % per_row * across, top + place // per_row * down
        return (lane, x, y, self.tile.width, self.tile.height)

    # -- the frame --

    def arrange(self, processes: Sequence[str], nodes: Sequence[str], services: Sequence[str]) -> bool:
        """Lay out all but the pods. `processes`: those of no node. True when anything moved, pods too."""
        fullest = max((len(slots) for lane, slots in self._slots.items() if lane != UNPLACED), default=0)
        tile = next(tile for tile in TILES if fullest <= tile.most)
        wide = self._card_width(len(nodes))
        lanes = [*nodes, *([UNPLACED] if self._slots.get(UNPLACED) else [])]
        per_row = {lane: self._fits(tile, wide - 2 * PAD if lane != UNPLACED else WIDTH) for lane in lanes}
        deep = {lane: max(1, -(-len(self._slots.get(lane, ())) // per_row[lane])) for lane in lanes}
        signature = (tuple(processes), tuple(nodes), tuple(services), tile, tuple(deep.items()))
        if signature == self._frame_of:
            return False
        self._frame_of, self.tile, self._per_row = signature, tile, per_row
        self.frame, self.titles, y = {}, [], 0
        y = self._row("control plane", processes, PROCESS, y)
        y = self._cards(nodes, wide, deep, y)
        if UNPLACED in deep:
            height = TITLE + deep[UNPLACED] * (tile.height + tile.gap)
            self.frame[UNPLACED] = ("", 0, y, WIDTH, height)
            self.titles.append({"title": "pods without a node", "y": y})
            y += height + GAP
        self.height = self._row("Services", services, SERVICE if len(services) <= MANY_SERVICES else SMALL_SERVICE, y)
        return True

    @staticmethod
    def _card_width(nodes: int) -> int:
        across = columns(nodes)
        return (WIDTH - GAP * (across - 1)) // across

    @staticmethod
    def _fits(tile: Tile, width: int) -> int:
        return max(1, (width + tile.gap) // (tile.width + tile.gap))

    def _row(self, title: str, keys: Sequence[str], size: tuple[int, int], y: int) -> int:
        """Boxes of one size, as many side by side as there is room for; → where the next lane begins."""
        if not keys:
            return y
        self.titles.append({"title": title, "y": y})
        across = (WIDTH + GAP) // (size[0] + GAP)
        for place, key in enumerate(keys):
            left, top = place % across * (size[0] + GAP), place // across * (size[1] + GAP)
            self.frame[key] = ("", left, y + TITLE + top, size[0], size[1])
        return y + TITLE + -(-len(keys) // across) * (size[1] + GAP) + GAP

    def _cards(self, nodes: Sequence[str], wide: int, deep: dict[str, int], y: int) -> int:
        if not nodes:
            return y
        self.titles.append({"title": "nodes", "y": y})
        y += TITLE
        across = columns(len(nodes))
        for first in range(0, len(nodes), across):
            row = nodes[first : first + across]
            tall = max(HEAD + PAD + deep[node] * (self.tile.height + self.tile.gap) for node in row)
            for place, node in enumerate(row):
                self.frame[node] = ("", place * (wide + GAP), y, wide, tall)
            y += tall + GAP
        return y + GAP
