"""PURE: the Raft ring: one cluster of `workshop.sim` as a picture, and all that a spectator may do to it.

    ring = Ring(members=3, seed=7)
    ring.do("step"); ring.do("time out", 2); ring.do("partition", [[1], [2, 3]]); ring.do("rewind")
    ring.picture()      # members, their logs, messages in flight: what is drawn

Each act keeps a copy of what was before, so each can be taken back; `fork` goes on with a copy beside the old run.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from workshop.etcd.raft import LEADER, Rules
from workshop.sim.cluster import Simulation, describe
from workshop.sim.invariants import Violation

Picture = dict[str, Any]
KEPT = 200
"""Acts that can be taken back."""
SHOWN = 12
"""Entries of a log that are drawn: the newest."""
MANY = 400
"""Events after which a step is over, whether or not something is to be seen."""


@dataclass
class Branch:
    """One run, and what it was before each act."""

    simulation: Simulation
    past: deque[tuple[Simulation, str]] = field(default_factory=lambda: deque(maxlen=KEPT))
    said: str = "all members have just started"


class Ring:
    """`members` of a simulated cluster. `rules`: a learner's own, in the place of the stock ones."""

    def __init__(self, members: int = 3, seed: int = 1, rules: Rules | None = None) -> None:
        if not 1 <= members <= 9:
            raise ValueError(f"a ring has 1 to 9 members, not {members}")
        self.branches = [Branch(Simulation(members, seed, watches=0, record=True, rules=rules))]
        self.at = 0

    @property
    def here(self) -> Branch:
        return self.branches[self.at]

    @property
    def simulation(self) -> Simulation:
        return self.here.simulation

    def do(self, act: str, *what: Any) -> str:
        """One act of `ACTS` by name; in words what came of it. Raises ValueError for what cannot be done."""
        if act == "rewind":
            return self._rewind()
        if act == "fork":
            self.branches.append(Branch(self.simulation.fork(), self.here.past.copy(), "a copy that goes its own way"))
            self.at = len(self.branches) - 1
            return self.here.said
        if act == "branch":
            self.at = _among(int(what[0]), range(len(self.branches)), "branch")
            return self.here.said
        if act not in ACTS:
            raise ValueError(f"nobody can {act!r} here: {', '.join([*ACTS, 'rewind', 'fork', 'branch'])}")
        branch = self.here
        before = (branch.simulation.fork(), branch.said)
        try:
            branch.said = ACTS[act](branch.simulation, *what)
        except Violation as violation:
            branch.said = f"a promise is broken: {violation}"
        branch.past.append(before)
        return branch.said

    def _rewind(self) -> str:
        branch = self.here
        if not branch.past:
            return "this is the beginning"
        before, branch.said = branch.past.pop()
        branch.simulation = before.fork()  # another branch may have the same past
        return f"back: {branch.said}"

    def picture(self) -> Picture:
        branch = self.here
        shown = picture(branch.simulation)
        lines = (branch.simulation.transcript or [])[-8:]
        return {**shown, "said": branch.said, "past": len(branch.past), "told": lines, "branch": self.at,
                "branches": len(self.branches)}  # fmt: skip


def picture(simulation: Simulation) -> Picture:
    """Plain data of what is to be seen now."""
    members = [member(simulation, id) for id in sorted(simulation.members)]
    flying = [
        {"id": event.order, "kind": event.what.kind, "from": event.what.sender, "to": event.what.to,
         "text": describe(event.what), "due": round((event.time - simulation.now) * 1000, 1)}
        for event in simulation.in_flight()
    ]  # fmt: skip
    return {
        "now": round(simulation.now, 4),
        "members": members,
        "messages": flying,
        "cut": sorted([a, b] for a, b in simulation.network.cut),
        "leader": simulation.leader(),
        "quorum": quorum(simulation),
    }


def member(simulation: Simulation, id: int) -> Picture:
    """A member as the ring draws it: role, vote, timer, and the last SHOWN entries of its log."""
    found = simulation.members[id]
    if not found.alive:
        return {"id": id, "role": "crashed", "why": found.refused, "log": [], "term": None, "vote": None}
    raft, log = found.replica.raft, found.replica.raft.log
    learner = id in raft.configuration.learners
    low = max(log.first, log.last - SHOWN + 1)
    return {
        "id": id,
        "role": "learner" if learner else raft.role,
        "stopped": found.frozen,
        "term": raft.term,
        "vote": raft.vote,
        "votes": {str(voter): yes for voter, yes in sorted(raft.votes.items())},
        "patience": 0 if raft.role == LEADER else max(0, raft.timeout - raft.elapsed),
        "log": [{"index": one.index, "term": one.term, "change": one.change} for one in log.between(low, log.last)],
        "before": low - 1,
        "disk": log.stable,
        "committed": log.committed,
        "applied": log.applied,
    }  # fmt: skip


def quorum(simulation: Simulation) -> str:
    """How many voters run, of how many that are needed."""
    running = [m for m in simulation.running() if not m.frozen]
    if not running:
        return "nobody runs"
    newest = max(running, key=lambda m: (m.replica.raft.term, m.replica.applied))
    configuration = newest.replica.raft.configuration
    there = len(configuration.voters & {m.id for m in running})
    return f"{there} of {len(configuration.voters)} voters run, {configuration.majority} are a majority"


# -- acts: each takes the simulation, and says what came of it --


def _among(id: int, known: Any, what: str = "member") -> int:
    if id not in known:
        raise ValueError(f"there is no {what} {id}; there are {', '.join(map(str, sorted(known)))}")
    return id


def _step(simulation: Simulation) -> str:
    """To the next event that can be seen: a message arrives or is sent, a role changes."""
    before = _seen(simulation)
    for _ in range(MANY):
        event = simulation.step()
        if event is None:
            return "nothing will ever happen: nobody runs"
        if event.kind == "deliver":
            return f"arrived: {describe(event.what)}"
        if _seen(simulation) != before:
            return f"{simulation.now:.3f} s: {event.kind} {event.what[0] if event.kind == 'tick' else ''}".strip()
    return "nothing was to be seen"


def _seen(simulation: Simulation) -> tuple[Any, ...]:
    roles = tuple((m.id, m.alive and (m.replica.raft.role, m.replica.raft.term)) for m in simulation.members.values())
    return roles, len(simulation.in_flight())


def _run(simulation: Simulation, seconds: float = 0.1) -> str:
    simulation.run(min(float(seconds), 30.0))
    return f"{seconds:g} s later"


def _event(simulation: Simulation, order: int) -> Any:
    found = {event.order: event for event in simulation.in_flight()}
    return found[_among(order, found, "message")]


def _drop(simulation: Simulation, order: int) -> str:
    event = _event(simulation, order)
    simulation.drop(event)
    return f"lost: {describe(event.what)}"


def _delay(simulation: Simulation, order: int, seconds: float = 0.5) -> str:
    event = _event(simulation, order)
    simulation.delay(event, seconds)
    return f"{seconds:g} s later: {describe(event.what)}"


def _alive(simulation: Simulation, id: int) -> int:
    if not simulation.members[_among(id, simulation.members)].alive:
        raise ValueError(f"{id} does not run: restart it")
    return id


def _time_out(simulation: Simulation, id: int) -> str:
    simulation.time_out(_alive(simulation, id))
    return f"{id} loses patience"


def _stop(simulation: Simulation, id: int) -> str:
    simulation.freeze(_alive(simulation, id))
    return f"{id} is stopped (SIGSTOP)"


def _resume(simulation: Simulation, id: int) -> str:
    simulation.thaw(_alive(simulation, id))
    simulation.work(simulation.members[id])
    return f"{id} goes on"


def _crash(simulation: Simulation, id: int) -> str:
    simulation.crash(_alive(simulation, id))
    return f"{id} crashed: it has what is on its disk"


def _restart(simulation: Simulation, id: int) -> str:
    simulation.restart(_among(id, simulation.members))
    return f"{id} starts from its disk" if simulation.members[id].alive else simulation.members[id].refused


def _add_learner(simulation: Simulation) -> str:
    if simulation.leader() is None or len(simulation.members) >= 9:
        raise ValueError("a learner is taken in by a leader, and a ring has 9 members at most")
    return f"{simulation.add_learner()} joins as a learner"


def _promote(simulation: Simulation, id: int) -> str:
    taken = simulation.promote(_among(id, simulation.members))
    return f"{id} is to become a voter" if taken else "nobody takes that now"


def _partition(simulation: Simulation, groups: list[list[int]]) -> str:
    for id in (id for group in groups for id in group):
        _among(id, simulation.members)
    simulation.partition(*groups)
    told = " | ".join(" ".join(map(str, sorted(group))) for group in groups)
    return f"nobody hears another group: {told}"


def _parts(simulation: Simulation, number: int) -> str:
    """Halves, or thirds: 3-3-3 with nine members."""
    everybody = sorted(simulation.members)
    size = -(-len(everybody) // int(number))
    return _partition(simulation, [everybody[at : at + size] for at in range(0, len(everybody), size)])


def _heal(simulation: Simulation) -> str:
    simulation.heal()
    return "everybody hears everybody"


def _put(simulation: Simulation, key: str = "a", value: str = "1") -> str:
    taken = simulation.put(str(key).encode(), str(value).encode())
    return f"a client writes {key}" if taken else "nobody takes a write: there is no leader"


ACTS: dict[str, Callable[..., str]] = {
    "step": _step, "run": _run, "drop": _drop, "delay": _delay, "time out": _time_out, "stop": _stop, "resume": _resume,
    "crash": _crash, "restart": _restart, "add learner": _add_learner, "promote": _promote, "partition": _partition,
    "parts": _parts, "heal": _heal, "put": _put,
}  # fmt: skip


# -- the text form --

SIGNS = {
    "leader": "★",
    "candidate": "◆",
    "pre-candidate": "◇",
    "follower": "●",
    "learner": "○",
    "crashed": "✗",
    "away": "✗",
}


def text(shown: Picture) -> str:
    """The same as words: a line a member, with its log; `|` stands behind what is committed."""
    when = "now" if shown.get("live") else f"{shown['now']} s"
    lines = [" · ".join(part for part in (when, shown["quorum"], shown.get("said", "")) if part)]
    for one in shown["members"]:
        name = f"{SIGNS.get(one['role'], '?')} {one['id']} {one['role']}{' (stopped)' if one.get('stopped') else ''}"
        if one["term"] is None:
            lines.append(f"{name}  {one.get('why', '')}".rstrip())
            continue
        vote = f"voted for {one['vote']}" if one.get("vote") else ""
        lines.append(f"{name:24} term {one['term']:<3} {vote:12} {entries(one)}".rstrip())
    lines += [f"  in flight: {message['text']}" for message in shown.get("messages", ())]
    if shown.get("cut"):
        lines.append("  cut: " + ", ".join(f"{a}→{b}" for a, b in shown["cut"]))
    return "\n".join(lines)


def entries(one: Picture) -> str:
    """The log by terms: `…4 2 2 3 | 3` : four entries before, three committed, one not."""
    if "log" not in one or not one["log"]:
        return f"entries {one.get('index', 0)}, applied {one['applied']}" if "index" in one else ""
    words = [f"…{one['before']}"] if one["before"] else []
    for entry in one["log"]:
        words.append(str(entry["term"]))
        if entry["index"] == one["committed"]:
            words.append("|")
    return " ".join(words)
