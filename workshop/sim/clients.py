"""Who uses the cluster: writers, readers, watchers, holders of leases, and somebody who changes the membership.

A client speaks to one member and hears, or does not hear, an answer. What it heard is held against the invariants.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from workshop.etcd import errors, state
from workshop.etcd.mvcc.watch import Stream
from workshop.etcd.raft import Entry
from workshop.etcd.replica import Answer
from workshop.sim.model import same
from workshop.wire import etcd_pb2 as pb

if TYPE_CHECKING:
    from workshop.sim.cluster import Simulation
    from workshop.sim.member import SimulatedMember

KEYS = [b"a", b"b", b"c", b"d"]
#: Weights of what a client does next.
WISHES = {"put": 10, "delete": 2, "cas": 3, "read": 6, "compact": 1, "grant": 2, "renew": 3, "change": 1}


class Asked(NamedTuple):
    """A write that waits for its answer at member `member`, in its life number `generation`, proposed in `term`."""

    member: int
    generation: int
    kind: int
    message: Any
    begun: float
    term: int


class Reading(NamedTuple):
    """A read barrier at a member: then `key` is read, or (lease) the lease renewed."""

    member: int
    generation: int
    key: bytes
    lease: int
    floor: int
    begun: float


class Watching:
    """One client's watch of everything. `place`: the next change of the model's history that it must hear of."""

    def __init__(self) -> None:
        self.member = 0
        self.generation = 0
        self.stream: Stream | None = None
        self.place = 0


class Clients:
    def __init__(self, simulation: Simulation, watches: int = 2) -> None:
        self._simulation = simulation
        self._random = simulation.random
        self._last_id = 0
        self.asked: dict[int, Asked] = {}
        self._reading: dict[int, Reading] = {}
        self._confirmed: list[tuple[int, int]] = []  # index, request
        self.watches = [Watching() for _ in range(watches)]
        self._leases: dict[int, int] = {}

    def _id(self) -> int:
        self._last_id += 1
        return self._last_id

    # Asking

    def act(self) -> None:
        """Do one thing that clients do, at a member by lot."""
        running = [member for member in self._simulation.running() if not member.frozen]
        if not running:
            return
        member = self._random.choice(running)
        wish = self._random.choices(list(WISHES), list(WISHES.values()))[0]
        key = self._random.choice(KEYS)
        revision = member.replica.machine.store.revision
        if wish == "put":
            lease = self._random.choice([0, 0, *self._leases])
            value = b"%d" % self._last_id
            self.write(member, state.PUT, pb.PutRequest(key=key, value=value, lease=lease, prev_kv=True))
        elif wish == "delete":
            self.write(member, state.DELETE_RANGE, pb.DeleteRangeRequest(key=key, prev_kv=True))
        elif wish == "cas":
            compare = pb.Compare(key=key, target=pb.Compare.MOD, mod_revision=max(revision - 1, 0))
            put = pb.RequestOp(request_put=pb.PutRequest(key=key, value=b"cas"))
            self.write(member, state.TXN, pb.TxnRequest(compare=[compare], success=[put]))
        elif wish == "compact":
            self.write(member, state.COMPACT, pb.CompactionRequest(revision=max(revision - 5, 1)))
        elif wish == "grant":
            grant = pb.LeaseGrantRequest(ID=self._last_id + 1000, TTL=self._random.choice([1, 2]))
            self.write(member, state.LEASE_GRANT, grant)
        elif wish == "read":
            self.read(member, key)
        elif wish == "renew" and self._leases:
            self.read(member, b"", self._random.choice(list(self._leases)))
        elif wish == "change":
            self._simulation.change_members()

    def write(self, member: SimulatedMember, kind: int, message: Any) -> bool:
        """False if there is nobody to take it."""
        raft = member.replica.raft
        request, now = self._id(), self._simulation.now
        command = state.encode_command(kind, request, message.SerializeToString())
        if kind in state.CHANGES:
            if not raft.propose_change(command):
                return False
        elif raft.takes_proposals():
            raft.propose([command])
        else:
            return False
        self.asked[request] = Asked(member.id, member.generation, kind, message, now, raft.term)
        return True

    def read(self, member: SimulatedMember, key: bytes, lease: int = 0) -> None:
        """Read `key` linearizably, or renew `lease`, which only the leader can."""
        if lease and not member.replica.leads:
            return
        request = self._id()
        floor = self._simulation.invariants.acknowledged
        if member.replica.raft.read_index(request):
            now = self._simulation.now
            self._reading[request] = Reading(member.id, member.generation, key, lease, floor, now)

    # Hearing

    def applied(self, member: SimulatedMember, entry: Entry, outcome: tuple[int, Answer] | None) -> None:
        if outcome is None:
            self._settle(member, entry)
            return
        request, answer = outcome
        asked = self.asked.get(request)
        if asked is None or (asked.member, asked.generation) != (member.id, member.generation):
            return
        del self.asked[request]
        if isinstance(answer, errors.EtcdError):
            return
        invariants = self._simulation.invariants
        invariants.acknowledge(answer.revision)
        if asked.kind == state.LEASE_GRANT:
            self._leases[asked.message.ID] = asked.message.TTL
            invariants.promise_lease(asked.message.ID, asked.begun, asked.message.TTL)

    def _settle(self, member: SimulatedMember, entry: Entry) -> None:
        """A leader's first entry: what was proposed in earlier terms, and was not applied here before it, is lost."""
        for request, asked in list(self.asked.items()):
            here = (asked.member, asked.generation) == (member.id, member.generation)
            if here and asked.term < entry.term and asked.kind not in state.CHANGES:
                del self.asked[request]
                self._simulation.invariants.lost.add(request)

    def confirmed(self, index: int, request: int) -> None:
        """Consensus says that a read may be served once `index` is applied."""
        self._confirmed.append((index, request))

    def serve(self, member: SimulatedMember) -> None:
        """After each step of `member`: answer reads, hear watches."""
        waiting = self._confirmed
        if waiting:
            self._confirmed = [one for one in waiting if not self._serve(member, *one)]
        for watch in self.watches:
            if watch.member == member.id:
                self._hear(watch, member)

    def _serve(self, member: SimulatedMember, index: int, request: int) -> bool:
        reading = self._reading.get(request)
        if reading is None:
            return True
        if reading.member != member.id or (reading.generation == member.generation and member.replica.applied < index):
            return False
        del self._reading[request]
        if reading.generation != member.generation:
            return True
        machine, now = member.replica.machine, self._simulation.now
        if reading.lease:
            if member.replica.leads:
                ttl = machine.lessor.renew(reading.lease, member.clock(now))
                self._simulation.invariants.promise_lease(reading.lease, reading.begun, ttl)
            return True
        record = machine.store.get(reading.key)
        found = pb.PutResponse.FromString(record.kv).prev_kv if record is not None else pb.KeyValue()
        self._simulation.invariants.read(member.id, reading.key, reading.floor, machine.store.revision, found)
        return True

    # Watching

    def rewatch(self) -> None:
        """Watches whose member is gone go on at another one, from where they were."""
        running = [member for member in self._simulation.running() if not member.frozen]
        if not running:
            return
        for watch in self.watches:
            current = self._simulation.members.get(watch.member)
            if current is not None and current.alive and current.generation == watch.generation:
                if self._random.random() < 0.95:
                    continue
                if watch.stream is not None:
                    current.hub.close(watch.stream)
            self._watch(watch, self._random.choice(running))

    def _watch(self, watch: Watching, member: SimulatedMember) -> None:
        history = self._simulation.invariants.model.history
        last = history[watch.place - 1].now.mod if watch.place else 1
        watch.member, watch.generation = member.id, member.generation
        watch.stream = member.hub.open(_nothing)
        request = pb.WatchCreateRequest(key=b"\x00", range_end=b"\x00", start_revision=last + 1, prev_kv=True)
        member.hub.create(watch.stream, request)

    def _hear(self, watch: Watching, member: SimulatedMember) -> None:
        stream = watch.stream
        if stream is None or watch.generation != member.generation:
            return
        while stream.outbox:
            answer = pb.WatchResponse.FromString(stream.take())
            if answer.canceled:
                self._canceled(watch, answer)
                return
            for event in answer.events:
                self._event(watch, member, event)
            if stream.behind and not stream.outbox:
                member.hub.catch_up(stream)

    def _canceled(self, watch: Watching, answer: Any) -> None:
        """It asked for what is compacted: it begins anew behind that."""
        invariants = self._simulation.invariants
        history = invariants.model.history
        if not answer.compact_revision or answer.compact_revision > invariants.model.compacted:
            invariants.fail("watches", f"canceled for no reason: {answer.cancel_reason}")
        while watch.place < len(history) and history[watch.place].now.mod < answer.compact_revision:
            watch.place += 1
        watch.generation = -1

    def _event(self, watch: Watching, member: SimulatedMember, event: Any) -> None:
        invariants = self._simulation.invariants
        history = invariants.model.history
        if watch.place >= len(history):
            invariants.fail("watches", f"{member.id} tells of revision {event.kv.mod_revision}, which is not there")
        now, before = history[watch.place]
        told = (event.kv.key, event.kv.mod_revision, event.kv.value, event.kv.version)
        if told != (now.key, now.mod, now.value, now.version):
            invariants.fail("watches", f"{member.id} tells of revision {told[1]} where {now.mod} was next")
        if not same(event.prev_kv, before) and (event.prev_kv.key or invariants.model.compacted < now.mod):
            invariants.fail("watches", f"{member.id} tells another value before revision {now.mod}")
        watch.place += 1

    def heard_everything(self) -> bool:
        return all(watch.place == len(self._simulation.invariants.model.history) for watch in self.watches)

    def forget_lease(self, lease: int) -> None:
        self._leases.pop(lease, None)


def _nothing() -> None:
    """A stream's wake-up: the outbox is looked at after each step anyway."""
