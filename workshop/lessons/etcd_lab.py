"""Lab 02: etcd by hand, three members, and the two rules on which Raft's safety stands, written by the learner.

The hidden fault schedules are in `etcd_scenarios`. `race`, `contest` and `said` are what the notebook's cells use.
"""

from __future__ import annotations

import dataclasses
import functools
import threading
from collections.abc import Callable
from typing import Any

from workshop.views import GlassBox
from workshop.views.board import Board
from workshop.views.raft import LiveRing
from workshop.views.registry import Registry, Timeline
from workshop.views.store import MemberStatus, Refused, Store, compare, delete, get, put

from . import look
from .exercise import Exercise, Finding, Section, Sight, Swap
from .lab import Lab
from .show import Table

__all__ = ["EtcdLab", "compare", "contest", "delete", "get", "open_lab", "put", "race", "said"]

COUNTER, LOCK, BY_RULE = "/lab/counter", "/lab/lock", "/lab/by-your-rule"
WORKERS, TIMES = 4, 10
LONGEST = 30
"""Seconds after which the lock of a dead owner has to be free."""
PROGRAMS = ("etcd", "kube-apiserver", "kubelet")


class EtcdLab(Lab):
    """A lab whose cluster has three members of etcd, with a client for them."""

    _store: Store | None = None
    _ring: LiveRing | None = None

    @property
    def etcd(self) -> Store:
        if self._store is None:
            self._store = Store(self.cluster)
        return self._store

    def _close(self, why: str) -> tuple[Board | None, GlassBox | None]:
        found = super()._close(why)
        if self._store is not None:
            self._store.close()
            self._store = None
        if self._ring is not None:
            self._ring.close()
            self._ring = None
        return found

    def ring(self) -> LiveRing:
        """The members on a ring, live, as the last expression of a cell."""
        if self._ring is None:
            self._ring = LiveRing(self.cluster)
        return self._ring

    def registry(self) -> Registry:
        """What the API server wrote, as the last expression of a cell."""
        return Registry(self.cluster)

    def timeline(self, prefix: str, since: int = 1) -> Timeline:
        """What happened to keys, revision by revision, as the last expression of a cell."""
        return Timeline(self.cluster, prefix, since)

    def _sight(self, board: Board) -> Sight:
        return dataclasses.replace(super()._sight(board), store=self.etcd)

    def members(self) -> Table:
        """What each member says of itself, as the last expression of a cell."""
        rows = [_row(status) for status in self._guarded(self.etcd.status) or ()]
        return Table(("member", "role", "term", "entries in the log", "applied", "revision"), tuple(rows))

    def leader(self, seconds: float = 20.0) -> str:
        """The member that leads, waited for; "" when nobody does in that time."""
        found: list[str] = []

        def leads() -> bool:
            found[:] = [s.name for s in self.etcd.status() if s.role == "leader"]
            return bool(found)

        return found[0] if self.wait_for(leads, seconds) and found else ""

    def followers(self) -> list[str]:
        """The members that do not lead."""
        return [s.name for s in self.etcd.status() if s.role != "leader"]

    def callers(self, program: str) -> str:
        """Who holds a connection to a process of that program, and how many: as the operating system shows it."""
        pairs = self._guarded(lambda: look.connections(self.cluster)) or set()
        return _counted(a for a, b in pairs if _program(b) == program)

    def calls(self, program: str) -> str:
        """To whom processes of that program hold connections."""
        pairs = self._guarded(lambda: look.connections(self.cluster)) or set()
        return _counted(b for a, b in pairs if _program(a) == program)


def _program(name: str) -> str:
    return name.partition("-master-")[0].partition("-node-")[0]


def _counted(names: Any) -> str:
    programs = [_program(name) for name in names]
    return ", ".join(sorted(set(programs))) or "nobody"


def _row(s: MemberStatus) -> tuple[str, ...]:
    if s.role == "away":
        return (s.name, "✗ away", "", "", "", "")
    role = {"leader": "★ leader", "follower": "· follower"}.get(s.role, s.role)
    return (s.name, role, str(s.term), str(s.index), str(s.applied), str(s.revision))


# -- what the cells use --


def said(call: Callable[..., Any], *arguments: Any, **options: Any) -> str:
    """What a call answered, or in which words it was refused."""
    try:
        return str(call(*arguments, **options))
    except Refused as error:
        return f"refused: {error}"


def race(store: Store, increment: Callable[[Store], Any]) -> str:
    """Let WORKERS threads count to TIMES each, on one key that begins at 0; what came of it."""
    store.delete(COUNTER)
    store.put(COUNTER, "0")
    problems = _together([lambda: [increment(store) for _ in range(TIMES)]] * WORKERS)
    counter = store.get(COUNTER)
    value = counter.value if counter else "gone"
    return "; ".join([f"{WORKERS} × {TIMES} increments, and the counter says {value}", *problems])


def contest(store: Store, take: Callable[[Store, str], Any]) -> str:
    """Let four take the lock at once; who thinks to have it."""
    store.delete(LOCK)
    won: list[str] = []
    names = ("ada", "bob", "cyd", "dan")

    def one(name: str) -> None:
        if take(store, name):
            won.append(name)

    problems = _together([functools.partial(one, name) for name in names])
    return "; ".join([f"the lock is held by {' and '.join(won) or 'nobody'}", *problems])


def _together(works: list[Callable[[], Any]]) -> list[str]:
    problems: list[str] = []

    def run(work: Callable[[], Any]) -> None:
        try:
            work()
        except Exception as error:  # noqa: BLE001  the learner's function at large: told, once
            problems.append(f"{type(error).__name__}: {error}")

    threads = [threading.Thread(target=run, args=(work,), daemon=True) for work in works]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    return sorted(set(problems))


# -- judges --


def counted(sight: Sight) -> Finding:
    """Each increment was a write of its own, and none was lost."""
    found, wanted = sight.store.get(COUNTER), WORKERS * TIMES
    if found is None:
        return Finding(f"the key {COUNTER}", "it is not there", "race(lab.etcd, increment) makes it and counts")
    writes = found.version - 1
    looked = f"{COUNTER} = {found.value}, written {writes} times since it was 0; {wanted} increments were asked for"
    if found.value != str(writes):
        how = f"writing {writes} times made {found.value} of it: compare its mod revision in the same transaction"
        return Finding(looked, "somebody overwrote a value that they had not seen", how)
    if writes != wanted:
        how = "a transaction that did not succeed has to be tried again, from reading on"
        return Finding(looked, f"{wanted - writes} increments never happened", how)
    return Finding(looked)


def locked(sight: Sight) -> Finding:
    """The lock was made once, and ends with its owner."""
    found = sight.store.get(LOCK)
    if found is None:
        how = "contest(lab.etcd, take) lets four try; check before its lease is over"
        return Finding(f"the key {LOCK}", "nobody holds it", how)
    looked = f"{found}"
    if found.version != 1:
        how = 'compare(key, "version", "=", 0) holds for a key that is not there'
        return Finding(looked, f"it was written {found.version} times: each of them believes to have it", how)
    if not found.lease:
        return Finding(looked, "it has no lease: if its owner dies it is taken for ever", "put(key, value, lease)")
    _, granted = sight.store.time_to_live(found.lease)
    looked += f"; its lease was granted for {granted} s"
    if granted > LONGEST:
        return Finding(looked, f"a dead owner would keep it for {granted} s", f"store.grant({LONGEST}) at most")
    return Finding(looked)


def _members(sight: Sight, hook: str) -> tuple[str, Finding | None]:
    """What the members say, and what is wrong with it."""
    status = sight.store.status()
    uses = [str(row["component"]) for row in sight.swapped if row["hook"] == hook and row["state"] == "in use"]
    leaders = [s.name for s in status if s.role == "leader"]
    looked = "; ".join(f"{s.name} {s.role}, term {s.term}" for s in status)
    looked += f"; your {hook} is in use by {', '.join(uses) or 'nobody'}"
    away = [s.name for s in status if s.role == "away"]
    if away:
        return looked, Finding(looked, f"{away[0]} does not answer", f"lab.start({away[0]!r})")
    if len(leaders) != 1:
        return looked, Finding(looked, f"{len(leaders)} members lead", "wait for an election timeout, then look again")
    if not uses:
        how = "lab.kill(lab.leader()) makes an election" if hook == "raft.may_vote" else "write something"
        return looked, Finding(looked, "no member has had to call it yet", how)
    return looked, None


def votes(sight: Sight) -> Finding:
    """Three members with one leader, and votes were given by the learner's rule."""
    looked, problem = _members(sight, "raft.may_vote")
    return problem or Finding(looked)


def commits(sight: Sight) -> Finding:
    """Something was committed by the learner's rule."""
    looked, problem = _members(sight, "raft.commit_index")
    if problem is not None:
        return problem
    if sight.store.get(BY_RULE) is None:
        return Finding(looked, f"there is no {BY_RULE}", f'lab.etcd.put("{BY_RULE}", "yes")')
    return Finding(f"{looked}; {BY_RULE} is there")


SOLUTION_COUNT = """def increment(store):
    while True:
        counter = store.get("/lab/counter")
        unchanged = compare("/lab/counter", "mod", "=", counter.mod)
        if store.txn([unchanged], [put("/lab/counter", str(int(counter.value) + 1))]).succeeded:
            return

print(race(lab.etcd, increment))"""

SOLUTION_LOCK = """def take(store, name):
    lease = store.grant(30)
    free = compare("/lab/lock", "version", "=", 0)
    return store.txn([free], [put("/lab/lock", name, lease)]).succeeded

print(contest(lab.etcd, take))"""

SOLUTION_VOTE = """def may_vote(me, candidate):
    free = me.vote == candidate.id or (not me.vote and not me.leader) or (candidate.pre and candidate.term > me.term)
    return free and (candidate.last_term, candidate.last_index) >= (me.last_term, me.last_index)

lab.swap("etcd", may_vote)
lab.kill(lab.leader())"""

SOLUTION_COMMIT = """def commit_index(on_disk, committed, term, terms):
    majority = sorted(on_disk, reverse=True)[len(on_disk) // 2]
    if majority > committed and terms[majority - committed - 1] == term:
        return majority
    return committed

lab.leader()
lab.swap("etcd", commit_index)
lab.etcd.put("/lab/by-your-rule", "yes")"""

EXERCISES = (
    Exercise(
        name="count together",
        task=(
            f"Write increment(store) so that {WORKERS} threads with {TIMES} increments each make {WORKERS * TIMES} of "
            f"{COUNTER}. A transaction compares and writes in one step. Then race(lab.etcd, increment)."
        ),
        judge=counted,
        where="store.get(key).mod is the revision of its last write; store.txn([…], […]).succeeded says if they held",
        half='compare("/lab/counter", "mod", "=", counter.mod) in the first list, the put in the second; else again',
        solution=SOLUTION_COUNT,
        explanation=(
            "Compare-and-swap: nobody locks, and whoever was late reads again. It is how the API server writes each "
            "object: its 409 Conflict is a transaction that did not succeed."
        ),
        mistake=SOLUTION_COUNT.replace("while True", "if True"),
        builds_on="compare and swap",
    ),
    Exercise(
        name="a lock that frees itself",
        task=(
            f"Write take(store, name): take {LOCK} for name if nobody has it, and say whether you got it. When its "
            f"owner dies it has to be free within {LONGEST} s. Then contest(lab.etcd, take)."
        ),
        judge=locked,
        where="a key that is not there has version 0; store.grant(seconds) is a lease, put(key, value, lease) uses it",
        half='the comparison is compare("/lab/lock", "version", "=", 0); the put gets a lease of 30 s',
        solution=SOLUTION_LOCK,
        explanation=(
            "A lock in etcd is a key that whoever is first may make, and a lease that its owner keeps alive. Leader "
            "election in Kubernetes is the same idea one floor higher: a Lease object."
        ),
        builds_on="leases",
    ),
    Exercise(
        name="grant a vote",
        task=(
            "Write may_vote(me, candidate) → True or False: one vote a term, first come, first served, and none for a "
            "log that lacks what yours has. A pre-vote (candidate.pre) for a later term costs no vote. Put it into all "
            "three members, then make an election: lab.kill(lab.leader())."
        ),
        judge=votes,
        where=(
            "me has term, vote (0: nobody yet), leader, last_term, last_index; candidate has id, term, last_term, "
            "last_index, pre. Which of two logs is newer? The term of its last entry decides, then its length"
        ),
        half="free = me.vote in (0, candidate.id), or a pre-vote for a later term; and compare (last_term, last_index)",
        solution=SOLUTION_VOTE,
        explanation=(
            "What is committed is on a majority; whoever wins has asked a majority; two majorities have a member in "
            "common, and that one refuses a candidate who lacks it. So a leader never lacks what was promised."
        ),
        mistake="def may_vote(me, candidate):\n    return me.vote in (0, candidate.id)",
        builds_on="write the rules",
        swap=Swap("etcd", "raft.may_vote", "workshop.lessons.etcd_scenarios:VOTES"),
    ),
    Exercise(
        name="commit what is safe",
        task=(
            "Write commit_index(on_disk, committed, term, terms): how far may a leader in term commit? on_disk is the "
            "last entry on each voter's disk, terms are the terms of the entries after committed. Put it in, then "
            f'lab.etcd.put("{BY_RULE}", "yes").'
        ),
        judge=commits,
        where="sort on_disk: which of them do a majority reach? Then look at the term of that entry",
        half="sorted(on_disk, reverse=True)[len(on_disk) // 2]; it counts only if its term is the leader's own",
        solution=SOLUTION_COMMIT,
        explanation=(
            "An entry of an older term may be on a majority and still be overwritten: figure 8 of the Raft paper. So a "
            "leader counts only its own term's entries; what is older goes along with them."
        ),
        mistake=(
            "def commit_index(on_disk, committed, term, terms):\n"
            "    return max(committed, sorted(on_disk, reverse=True)[len(on_disk) // 2])"
        ),
        builds_on="write the rules",
        swap=Swap("etcd", "raft.commit_index", "workshop.lessons.etcd_scenarios:COMMITS"),
    ),
)

SECTIONS = (
    Section("keys and revisions", "What does a write leave behind?"),
    Section("watch and compaction", "Can a watch look into the past?"),
    Section("compare and swap", "How do two writers not overwrite each other?"),
    Section("leases", "Who cleans up after the dead?"),
    Section("who wins", "Who leads when the leader dies?"),
    Section("lose the quorum", "What still works without a majority?"),
    Section("who reads etcd", "Does the kubelet read etcd?"),
    Section("write the rules", "On which two decisions does all of this stand?"),
)


def open_lab() -> EtcdLab:
    """The lab, with its cluster up: three members, their API servers, one kubelet."""
    # mode plain: it runs no pods, and in a user namespace of their own the members could not be asked from a notebook
    lab = EtcdLab("etcd", EXERCISES, SECTIONS, nodes=1, masters=3, only=PROGRAMS, mode="plain")
    lab.up()
    return lab
