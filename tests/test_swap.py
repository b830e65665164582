"""A learner's function behind a hook: used, put out when it misbehaves, and never a harm to the component."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from workshop import hooks, swap

ROOT = Path(__file__).resolve().parents[1]


def _positive(result: int, number: int) -> str:
    return "" if result >= 0 else "it may not be negative"


@hooks.hook("program", "double", _positive)
def double(number: int) -> int:
    return 2 * number


@pytest.fixture
def guarded(tmp_path, monkeypatch):
    """`give(source)` swaps it in; returns what `double(3)` gives then, and what became of it."""
    hook = hooks.find("program", "double")
    swap.install("program", {swap.VARIABLE: str(tmp_path)})
    monkeypatch.setattr(swap, "SOFT_SECONDS", 0.1)

    def give(source):
        path = tmp_path / "double.py"
        path.unlink(missing_ok=True)
        path.write_text(source)
        path.chmod(0o600)
        answer = double(3)
        state = tmp_path / "double.json"
        return answer, json.loads(state.read_text()) if state.exists() else {}

    give.folder = tmp_path
    yield give
    hook.replacement = None


def test_without_a_lab_the_stock_function_runs():
    swap.install("program", {})
    assert double(3) == 6
    assert not hooks.in_lab("program")


def test_the_learners_function_runs_and_sees_the_stock_one(guarded):
    answer, told = guarded("def triple(number):\n    return stock(number) + number\n")
    assert (answer, told["state"]) == (9, "in use")
    assert guarded("def helper(n):\n    return 7 * n\n\ndef double(number):\n    return helper(number)\n")[0] == 21
    (guarded.folder / "double.py").unlink()
    assert double(3) == 6


@pytest.mark.parametrize(
    "body, said",
    [
        ("return 1 // 0", "ZeroDivisionError"),
        ("raise SystemExit(1)", "SystemExit"),
        ("return 'six'", "it returned 'six' (str), not int"),
        ("return True", "it returned True (bool), not int"),
        ("return None", "not int"),
        ("return -number", "it may not be negative"),
        ("return missing", "NameError"),
        ("while True: pass", "Hung: it took longer than"),
        ("import time; time.sleep(30)", "Hung: it took longer than"),
        ("return len([0] * (1 << 34))", "MemoryError"),
        ("return double(number) + [][0]", "RecursionError"),
    ],
)
def test_what_misbehaves_is_put_out_and_the_stock_one_answers(guarded, body, said):
    answer, told = guarded(f"def double(number):\n    {body}\n")
    assert answer == 6
    assert told["state"] == "put out"
    assert said in told["traceback"]
    if "returned" not in said and "negative" not in said and "not int" not in said:
        assert "line 2, in double" in told["traceback"] and "swap.py" not in told["traceback"]


def test_an_except_around_everything_is_interrupted_again(guarded):
    body = "    try:\n        while True: pass\n    except BaseException:\n        pass\n    while True: pass\n"
    answer, told = guarded(f"def double(number):\n{body}")
    assert (answer, told["state"]) == (6, "put out")


def test_an_interrupt_that_comes_late_does_not_hit_the_components_own_code():
    ticks = "def spend():\n    for _ in range(100): signal.raise_signal(signal.SIGALRM)\n"
    theirs: dict = {"signal": signal}
    exec(compile(ticks, "theirs.py", "exec"), theirs)
    with swap.limits("ours.py", None):
        theirs["spend"]()
    with pytest.raises(swap.Hung), swap.limits("theirs.py", None):
        theirs["spend"]()


def test_what_is_put_out_stays_out_in_the_next_process(guarded):
    source = "def double(number):\n    return 1 // 0\n"
    guarded(source)
    swap.install("program", {swap.VARIABLE: str(guarded.folder)})  # a new guard, as after a restart
    told = (guarded.folder / "double.json").read_text()
    assert double(3) == 6 and (guarded.folder / "double.json").read_text() == told
    (guarded.folder / "double.json").unlink()  # swapped in once more
    assert guarded(source)[1]["state"] == "put out"


def test_a_file_that_others_may_write_is_not_used(guarded):
    path = guarded.folder / "double.py"
    path.write_text("def double(number):\n    return 100\n")
    path.chmod(0o644)
    assert double(3) == 6
    path.unlink()
    path.symlink_to("elsewhere.py")
    (guarded.folder / "elsewhere.py").write_text("def double(number):\n    return 100\n")
    assert double(3) == 6


STOPPED = """
import os, signal
from workshop import hooks, swap
swap.SOFT_SECONDS = 0.4
@hooks.hook("program", "f")
def f(n: int) -> int:
    return n
swap.install("program")
print(f(3))
"""


def test_a_process_that_was_stopped_meanwhile_has_not_hung(tmp_path):
    (tmp_path / "f.py").write_text(
        "import os, signal\ndef f(n):\n    os.kill(os.getpid(), signal.SIGSTOP)\n    return 4\n"
    )
    (tmp_path / "f.py").chmod(0o600)
    environment = {"PYTHONPATH": str(ROOT), swap.VARIABLE: str(tmp_path)}
    with subprocess.Popen([sys.executable, "-c", STOPPED], env=environment, stdout=subprocess.PIPE, text=True) as run:
        os.waitpid(run.pid, os.WUNTRACED)
        time.sleep(0.6)  # longer than a function may take
        run.send_signal(signal.SIGCONT)
        assert run.communicate(timeout=60)[0] == "4\n"


UNSTOPPABLE = """
import sys
from workshop import hooks, swap
swap.HARD_SECONDS = 1.5
@hooks.hook("program", "f")
def f(n: int) -> int:
    return n
swap.install("program")
print(f(3))
"""


def test_a_loop_in_c_ends_the_process_and_the_next_one_runs_the_stock_function(tmp_path):
    (tmp_path / "f.py").write_text("def f(n):\n    return max(iter(int, 1), key=abs)\n")
    (tmp_path / "f.py").chmod(0o600)
    run = [sys.executable, "-c", UNSTOPPABLE]
    environment = {"PYTHONPATH": str(ROOT), swap.VARIABLE: str(tmp_path)}
    first = subprocess.run(run, env=environment, capture_output=True, text=True, timeout=120, check=False)
    assert first.returncode == 1 and first.stdout == ""
    second = subprocess.run(run, env=environment, capture_output=True, text=True, timeout=120, check=False)
    assert (second.returncode, second.stdout) == (0, "3\n")
    told = json.loads((tmp_path / "f.json").read_text())
    assert told["state"] == "put out" and "could not be interrupted" in told["traceback"]
    assert "line 2 in f" in told["traceback"] and "hooks.py" not in told["traceback"]


def test_every_declared_hook_is_found_where_the_table_says():
    names = {(program, one.name) for program in hooks.HOMES for one in hooks.of(program)}
    assert ("kube-controller-manager", "replicaset.decide") in names
    assert ("kube-scheduler", "NodeResourcesFit.filter") in names
    assert ("kube-proxy", "pick") in names
    with pytest.raises(LookupError, match="has no hook"):
        hooks.find("kube-controller-manager", "nonsense")
