"""Hidden scenarios: each lab's solution passes them, wrong answers fail with a story, and limits hold."""

import importlib
import re

import pytest

from workshop import hooks
from workshop.lessons import control_loop, judge, tour

SWAPS = [
    (module, exercise) for module in (tour, control_loop) for exercise in module.EXERCISES if exercise.swap is not None
]


def code(exercise):
    """The solution as far as it is a function."""
    return re.split(r"\nlab\.", exercise.solution)[0]


@pytest.mark.parametrize("module, exercise", SWAPS, ids=lambda value: getattr(value, "name", ""))
def test_a_solution_passes_and_the_stock_function_does_not(module, exercise):
    swap = exercise.swap
    verdict = judge.judge(swap.component, swap.hook, code(exercise), swap.scenarios)
    assert verdict.wrong == "" and verdict.passed == verdict.count >= 7, verdict
    hook = hooks.find(swap.component, swap.hook)
    names = ", ".join(f"a{n}" for n in range(hook.stock.__code__.co_argcount))
    stock = judge.judge(swap.component, swap.hook, f"def f({names}):\n    return stock({names})\n", swap.scenarios)
    assert stock.wrong, "an exercise that the stock function solves is none"


def test_every_lab_has_a_swap():
    assert {module.__name__ for module, _ in SWAPS} == {"workshop.lessons.tour", "workshop.lessons.control_loop"}


DECIDE = ("kube-controller-manager", "replicaset.decide", "workshop.lessons.control_loop:DECISIONS")


def decide(body):
    program, hook, scenarios = DECIDE
    return judge.judge(program, hook, f"def decide(owner, active, neighbours, now):\n{body}", scenarios)


@pytest.mark.parametrize(
    "body, said",
    [
        ("    return Decision()\n", "three wanted, none there: it creates 0 pods, 3 was right"),
        ("    return Decision(create=max(0, (owner['spec']['replicas']) - len(active)))\n", "two wanted, five there"),
        ("    return 3\n", "not Decision"),
        ("    return Decision(create=-1)\n", "from 0 up"),
        ("    active.append({'metadata': {}})\n    return Decision()\n", "it changed its arguments"),
        ("    while True: pass\n", "it raised"),
        ("    print('✓ solved')\n    return Decision(delete=tuple(active))\n", "it gives up 3 pods"),
    ],
)
def test_what_is_wrong_is_said_with_the_case(body, said):
    verdict = decide(body)
    assert said in verdict.wrong
    assert verdict.passed < verdict.count


def test_an_exception_comes_with_its_own_line():
    verdict = decide("    wanted = owner['spec']['missing']\n    return Decision()\n")
    assert "KeyError: 'missing'" in verdict.traceback and "line 2, in decide" in verdict.traceback


def test_a_loop_in_c_is_ended_from_outside(monkeypatch):
    monkeypatch.setattr(judge, "SECONDS", 1)
    program, hook, scenarios = DECIDE
    source = "def decide(a, b, c, d):\n    return max(iter(int, 1), key=abs)\n"
    verdict = judge.judge(program, hook, source, scenarios, patience=4.0)
    assert "longer than" in verdict.wrong or "ended by signal" in verdict.wrong


def test_it_can_write_no_file_and_no_verdict_of_its_own(tmp_path):
    path = tmp_path / "written"
    verdict = decide(f"    open({str(path)!r}, 'w').write('x' * 10)\n    return Decision()\n")
    assert verdict.wrong and (not path.exists() or path.stat().st_size == 0)


def test_scenarios_are_named_where_the_exercise_says():
    for _, exercise in SWAPS:
        module, _, name = exercise.swap.scenarios.partition(":")
        stories = [scenario.story for scenario in getattr(importlib.import_module(module), name)]
        assert len(stories) == len(set(stories))
