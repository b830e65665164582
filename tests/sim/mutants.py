"""Faults that somebody might put into etcd's code, and how the simulation, or a test, says that it sees them.

A checker that has not been shown to catch a missing fsync proves nothing. `old` must stand in `file` exactly once.
`python -m tests.sim.mutants [WORD…]` runs them all (those whose name holds a word); with `--search` it looks for the
first seed that catches each.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[2]


class Mutant(NamedTuple):
    name: str
    file: str
    old: str
    new: str
    by: int | str
    """A seed that catches it, or the test that does where chance hardly would."""


MUTANTS = [
    Mutant("missing fsync", "etcd/wal.py", "        self._file.sync()\n", "", 2),
    Mutant("missing fsync of a snapshot", "etcd/snapshot.py", "        file.sync()\n", "", 1),
    Mutant("a segment's name is not synced", "etcd/wal.py", "        self._disk.sync_folder(self._folder)\n", "", 1),
    Mutant(
        "the vote is not written",
        "etcd/raft/core.py",
        "if (self.term, self.vote) == self.saved[:2]:",
        "if self.term == self.saved.term:",
        "tests/etcd/test_paper.py::test_5_2_a_vote_in_a_term_already_known_is_on_disk_too",
    ),
    Mutant(
        "promises are sent before the disk has them",
        "etcd/raft/core.py",
        "at_once = [] if hard_state else [m for m in messages if m.kind in BEFORE_DISK]\n"
        "        messages = messages if hard_state else [m for m in messages if m.kind not in BEFORE_DISK]",
        "at_once, messages = messages, []",
        18,
    ),
    Mutant(
        "two votes in a term",
        "etcd/raft/election.py",
        "me.vote == candidate.id or (not me.vote and not me.leader)",
        "me.vote == candidate.id or not me.leader",
        72,
    ),
    Mutant(
        "a vote for a shorter log",
        "etcd/raft/election.py",
        "return free and (candidate.last_term, candidate.last_index) >= (me.last_term, me.last_index)",
        "return free",
        5,
    ),
    Mutant(
        "a vote by the index alone",
        "etcd/raft/election.py",
        "(candidate.last_term, candidate.last_index) >= (me.last_term, me.last_index)",
        "candidate.last_index >= me.last_index",
        30,
    ),
    Mutant(
        "an entry of an older term is committed by counting",
        "etcd/raft/replication.py",
        "majority > committed and terms[majority - committed - 1] == term",
        "majority > committed",
        "tests/etcd/test_figures.py::test_a_figure_is_told_as_it_is_written[figure_8_d]",
    ),
    Mutant(
        "the commit mark counts one disk too few",
        "etcd/raft/replication.py",
        "reverse=True)[len(on_disk) // 2]",
        "reverse=True)[max(len(on_disk) // 2 - 1, 0)]",
        1,
    ),
    Mutant(
        "the leader counts entries that are not on its disk",
        "etcd/raft/replication.py",
        "return raft.log.stable\n",
        "return raft.log.last\n",
        "tests/etcd/test_extensions.py::test_a_leader_counts_its_own_disk_only_when_it_has_the_entry",
    ),
    Mutant(
        "an append is accepted without the entry before it",
        "etcd/raft/log.py",
        "if self.term(previous) != previous_term:",
        "if previous > self.last:",
        30,
    ),
    Mutant(
        "a conflict is not cut off",
        "etcd/raft/log.py",
        "if known == entry.term or entry.index < self.first:",
        "if known is not None or entry.index < self.first:",
        1,
    ),
    Mutant(
        "stale read: no round of heartbeats",
        "etcd/raft/reads.py",
        "if raft.configuration.voters == {raft.id} or (",
        "if True or (",
        161,
    ),
    Mutant(
        "stale read: a round that was sent before",
        "etcd/raft/reads.py",
        "PendingRead(member, request, raft.log.committed, raft.round + 1)",
        "PendingRead(member, request, raft.log.committed, raft.round - 3)",
        "tests/etcd/test_extensions.py::test_reads_wait_for_a_round_that_began_after_them",
    ),
    Mutant(
        "stale read: before the first entry of the term",
        "etcd/raft/reads.py",
        "if raft.log.term(raft.log.committed) != raft.term:\n        # Until",
        "if False:\n        # Until",
        "tests/etcd/test_extensions.py::test_a_read_waits_for_the_first_entry_of_the_term",
    ),
    Mutant(
        "stale read: a lease longer than an election timeout",
        "etcd/raft/reads.py",
        "LEASE_SHARE = 0.8",
        "LEASE_SHARE = 5.0",
        871,
    ),
    Mutant(
        "stale read: served before the index is applied",
        "sim/clients.py",
        "reading.generation == member.generation and member.replica.applied < index",
        "False",
        8,
    ),
    Mutant(
        "no PreVote",
        "etcd/raft/core.py",
        "    pre_vote: bool = True\n",
        "    pre_vote: bool = False\n",
        "tests/etcd/test_extensions.py::test_a_member_that_was_cut_off_does_not_depose_the_leader_when_it_is_back",
    ),
    Mutant(
        "no CheckQuorum",
        "etcd/raft/election.py",
        "    if not raft.configuration.holds(active):\n        raft.become(FOLLOWER, raft.term)\n",
        "",
        217,
    ),
    Mutant(
        "candidates are heard while a leader is",
        "etcd/raft/election.py",
        "and raft.elapsed < raft.options.election_ticks",
        "and raft.elapsed < 0",
        "tests/etcd/test_extensions.py::test_who_hears_a_leader_votes_for_nobody_else",
    ),
    Mutant(
        "two changes of membership at a time",
        "etcd/raft/core.py",
        "return self.role == LEADER and self.log.applied >= self.pending_change",
        "return self.role == LEADER",
        "tests/etcd/test_extensions.py::test_one_change_of_membership_at_a_time",
    ),
    Mutant(
        "a change counts before it is known to be committed",
        "etcd/raft/core.py",
        "            if entry.change and entry.index > self.saved.commit:\n                return entries[:place]\n",
        "            pass\n",
        "tests/etcd/test_extensions.py::test_a_change_is_applied_only_when_its_commitment_is_on_disk",
    ),
    Mutant(
        "a learner votes",
        "etcd/membership.py",
        "frozenset(m.id for m in self.members.values() if not m.is_learner),\n            frozenset(m.id for m in self.members.values() if m.is_learner),",
        "frozenset(m.id for m in self.members.values()),\n            frozenset(),",
        459,
    ),
    Mutant(
        "a snapshot forgets the members", "etcd/state.py", "        self.cluster.restore(snapshot.cluster)\n", "", 2
    ),
    Mutant(
        "a snapshot does not begin the log anew",
        "etcd/storage.py",
        "            position = (taken.index, taken.term)\n",
        "",
        "tests/etcd/test_wal.py::test_a_snapshot_from_the_leader_is_on_disk_before_the_log_begins_behind_it",
    ),
    Mutant(
        "the log is cut before the snapshot is needed",
        "etcd/snapshot.py",
        "return min((int(",
        "return max((int(",
        "tests/etcd/test_wal.py::test_the_log_reaches_back_to_the_older_snapshot",
    ),
    Mutant(
        "a damaged record is passed over",
        "etcd/wal.py",
        "        follows = later_frame(data, offset, expected) is not None\n",
        "        return\n",
        "tests/etcd/test_wal.py::test_a_flipped_bit_refuses_to_start_be_it_in_the_very_last_frame",
    ),
    Mutant(
        "lost prev_kv of a put",
        "etcd/mvcc/operations.py",
        'return old.kv if request.prev_kv and old is not None else b""',
        'return b""',
        1,
    ),
    Mutant(
        "lost prev_kv of a watch",
        "etcd/mvcc/watch.py",
        "with_previous = watcher.prev_kv and not record.created",
        "with_previous = watcher.prev_kv and record.version > 2",
        1,
    ),
    Mutant(
        "watch gap: one that is behind skips a revision",
        "etcd/mvcc/watch.py",
        "        watcher.next = last + 1\n",
        "        watcher.next = last + 2\n",
        2,
    ),
    Mutant(
        "watch gap: a snapshot takes the place of the store",
        "etcd/mvcc/watch.py",
        "watcher.synced = watcher.next > self._store.revision\n            stream.behind",
        "watcher.synced = True\n            stream.behind",
        "tests/etcd/test_replica.py::test_watches_go_on_over_a_snapshot_without_gap_or_repetition",
    ),
    Mutant(
        "a watch tells twice",
        "etcd/mvcc/watch.py",
        "watcher.next = max(watcher.next, told + 1)",
        "watcher.next = max(watcher.next, told - 2)",
        "tests/etcd/test_replica.py::test_watches_go_on_over_a_snapshot_without_gap_or_repetition",
    ),
    Mutant(
        "a lease loses time with a change of leaders",
        "etcd/lease.py",
        "lease.expiry, lease.revoking = now + lease.ttl + extend, False",
        "lease.expiry, lease.revoking = now + lease.ttl / 4, False",
        "tests/etcd/test_replica.py::test_only_the_leader_counts_and_a_new_one_gives_every_lease_its_whole_time",
    ),
    Mutant(
        "a renewal is forgotten",
        "etcd/lease.py",
        "        lease.expiry = now + lease.ttl\n        self.renewed",
        "        self.renewed",
        "tests/etcd/test_replica.py::test_a_renewal_begins_the_time_anew",
    ),
    Mutant(
        "a follower counts leases too",
        "etcd/replica.py",
        "            self.leads = False\n            self.machine.lessor.demote()\n",
        "            self.machine.lessor.demote()\n",
        "tests/etcd/test_replica.py::test_only_the_leader_counts_and_a_new_one_gives_every_lease_its_whole_time",
    ),
]


def overlay(mutant: Mutant, folder: Path) -> None:
    """A copy of what the simulation and the tests need, with the fault in it."""
    copy = folder / "workshop"
    copy.mkdir()
    for part in ("__init__.py", "clock.py", "trace.py", "component.py", "hooks.py", "serving", "wire", "etcd", "sim"):
        source = ROOT / "workshop" / part
        if source.is_dir():
            shutil.copytree(source, copy / part, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(source, copy / part)
    path = copy / mutant.file
    text = path.read_text()
    if text.count(mutant.old) != 1:
        raise SystemExit(f"{mutant.name}: {mutant.file} holds the text {text.count(mutant.old)} times, not once")
    path.write_text(text.replace(mutant.old, mutant.new))
    shutil.copytree(ROOT / "tests" / "etcd", folder / "tests" / "etcd", ignore=shutil.ignore_patterns("__pycache__"))


def run(mutant: Mutant, arguments: list[str] | None = None) -> tuple[int, str]:
    """(exit status, what was said last): 0 when nobody has seen the fault."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        overlay(mutant, folder)
        if isinstance(mutant.by, str):
            command = ["pytest", "-q", "-x", "-c", "/dev/null", "--rootdir", name, "--import-mode=importlib", mutant.by]
        else:
            command = ["workshop.sim", *(arguments or ["--first", str(mutant.by), "--seeds", "1"])]
        done = subprocess.run(
            [sys.executable, "-m", *command],
            cwd=folder,
            env={"PYTHONPATH": name, "PYTHONDONTWRITEBYTECODE": "1"},
            capture_output=True,
            text=True,
            check=False,
        )
        said = [line for line in done.stdout.splitlines() if line.startswith(("seed ", "FAILED", "ERROR"))]
        if isinstance(mutant.by, str) and not any(line.startswith("FAILED") for line in said):
            return 0, (done.stdout + done.stderr).strip()[-300:]  # a test that could not run has seen nothing
        if isinstance(mutant.by, int) and done.returncode and not said:
            raise SystemExit(f"{mutant.name}: the simulation could not run: {done.stderr.strip()[-300:]}")
        return done.returncode, said[-1] if said else (done.stdout + done.stderr).strip()[-300:]


def main() -> int:
    words = [word for word in sys.argv[1:] if word != "--search"]
    missed = 0
    for mutant in MUTANTS:
        if words and not any(word in mutant.name for word in words):
            continue
        begun = time.perf_counter()
        status, said = run(mutant, ["--seeds", "1000"] if "--search" in sys.argv else None)
        missed += status == 0
        took = time.perf_counter() - begun
        print(f"{'caught' if status else 'MISSED':7} {mutant.name:55} {took:5.1f} s  {said[:160]}", flush=True)
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
