"""How seats are shared out, and lent."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from workshop.apiserver.bootstrap import facts
from workshop.apiserver.flowcontrol.limits import Demand, Level, Limits, borrow, nominal, read

BOOT = {
    level.name: level
    for level in (read(obj) for kind, obj in facts.objects("") if kind.plural == "prioritylevelconfigurations")
}


def test_the_levels_of_a_new_cluster() -> None:
    """Seats of 600, as apiserver_flowcontrol_nominal_limit_seats, lower_limit and upper_limit tell of a real 1.36."""
    found = nominal(BOOT, 600)
    assert found["workload-low"] == Limits(nominal=245, least=24, most=845)
    assert found["leader-election"] == Limits(25, 25, 625)
    assert found["catch-all"] == Limits(13, 13, 613)
    assert found["exempt"] == Limits(0, 0, 600)


def test_nobody_asks_for_anything_everybody_has_his_own() -> None:
    limits = nominal(BOOT, 600)
    seats = borrow(BOOT, limits, dict.fromkeys(BOOT, Demand()))
    assert all(limits[name].least <= seats[name] <= limits[name].most for name in BOOT)


def test_a_busy_level_borrows_from_idle_ones() -> None:
    limits = nominal(BOOT, 600)
    demand = {name: Demand() for name in BOOT} | {"workload-high": Demand(400, 400.0)}
    seats = borrow(BOOT, limits, demand)
    assert seats["workload-high"] > limits["workload-high"].nominal
    assert seats["leader-election"] >= limits["leader-election"].least


def test_a_level_without_borrowing_stays_within_its_own() -> None:
    levels = {"a": Level("a", shares=1, borrowing_percent=0), "b": Level("b", shares=1, lendable_percent=50)}
    limits = nominal(levels, 100)
    seats = borrow(levels, limits, {"a": Demand(500, 500.0), "b": Demand()})
    assert seats["a"] == 50


@given(
    st.lists(st.tuples(st.integers(1, 100), st.integers(0, 100), st.integers(0, 300)), min_size=1, max_size=8),
    st.integers(10, 1000),
)
def test_everybody_gets_what_he_owns_and_needs(rows: list[tuple[int, int, int]], total: int) -> None:
    levels = {str(n): Level(str(n), shares=s, lendable_percent=lend) for n, (s, lend, _) in enumerate(rows)}
    demand = {str(n): Demand(high, float(high)) for n, (_, _, high) in enumerate(rows)}
    limits = nominal(levels, total)
    seats = borrow(levels, limits, demand)
    for name, limit in limits.items():
        assert seats[name] >= min(limit.nominal, demand[name].high, limit.most)
        assert limit.least <= seats[name] <= limit.most
    assert sum(seats.values()) <= sum(limit.nominal for limit in limits.values()) + len(levels)
