"""300 seeds in CI (`python -m workshop.sim --seeds 10000` at night), and what a run must be to be worth something."""

from __future__ import annotations

import pytest

from workshop.sim import Simulation, Violation, campaign
from workshop.sim.__main__ import main


@pytest.mark.parametrize("first", range(1, 301, 50))
def test_no_promise_is_broken(first: int, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--first", str(first), "--seeds", "50"]) == 0, capsys.readouterr().out


def test_a_seed_is_one_run_however_often() -> None:
    once, again = campaign.run(9, record=True), campaign.run(9, record=True)
    assert once == again and len(once.transcript) > 500
    assert campaign.run(9).writes == once.writes, "telling changes nothing"
    assert campaign.run(8, record=True).transcript != once.transcript


def test_a_failing_seed_prints_a_transcript_that_can_be_replayed(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("workshop.etcd.wal.WriteAheadLog._write", lambda log, records: None)  # nothing is on disk
    assert main(["--seeds", "50"]) == 1
    said = capsys.readouterr().out.splitlines()
    problem = next(line for line in said if line.startswith("seed "))
    seed = problem.split()[1].rstrip(":")
    assert f"again: python -m workshop.sim --seed {seed} --verbose" in said
    assert any("crashes" in line for line in said) and any("vote" in line for line in said)
    assert main(["--seed", seed]) == 1
    assert problem in capsys.readouterr().out


def test_a_fork_goes_its_own_way() -> None:
    simulation = Simulation(3, seed=5)
    assert simulation.run_until(lambda: simulation.leader() is not None, 5)
    kept = simulation.fork()
    leader = simulation.leader()
    assert leader is not None
    simulation.crash(leader)
    simulation.run(3)
    assert simulation.leader() not in (None, leader) and kept.leader() == leader
    kept.put(b"k", b"v")
    kept.run(1)
    assert all(member.replica.machine.store.get(b"k") for member in kept.running())
    assert not any(member.replica.machine.store.get(b"k") for member in simulation.running())


def test_messages_are_dropped_and_delayed_by_hand() -> None:
    simulation = Simulation(3, seed=1, record=True)
    simulation.time_out(1)
    requests = simulation.in_flight()
    assert [event.what.kind for event in requests] == ["pre-vote", "pre-vote"]
    for event in requests:
        simulation.drop(event)
    simulation.run(0.3)
    assert simulation.leader() is None
    simulation.time_out(1)
    for event in simulation.in_flight():
        simulation.delay(event, 0.2)
    before = simulation.now
    assert simulation.run_until(lambda: simulation.leader() is not None, 2)
    assert simulation.now - before > 0.2


def test_three_three_three_has_no_majority_anywhere() -> None:
    simulation = Simulation(9, seed=3)
    assert simulation.run_until(lambda: simulation.leader() is not None, 5)
    simulation.partition([1, 2, 3], [4, 5, 6], [7, 8, 9])
    simulation.run(2)
    assert simulation.leader() is None, "whoever led has stepped down"
    simulation.heal()
    assert simulation.run_until(lambda: simulation.leader() is not None, 5)
    simulation.put(b"k", b"v")
    simulation.run(0.5)
    assert all(member.replica.machine.store.get(b"k") for member in simulation.running())


def test_a_violation_is_raised_where_it_happens() -> None:
    simulation = Simulation(3, seed=2)
    simulation.run(1)
    with pytest.raises(Violation, match="election safety"):
        simulation.invariants.leaders[simulation.members[1].replica.raft.term] = 99
        simulation.invariants._new_leader(1, simulation.members[1].replica.raft)
