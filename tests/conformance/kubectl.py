"""A stock kubectl, run as a person would: what it printed on both streams and its exit code."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

NEEDED = (1, 32)
PATIENCE = 60.0
"""Seconds for what comes at once on a quiet machine, and has to come on a busy one."""


@dataclass(frozen=True)
class Result:
    out: str
    err: str
    code: int

    @property
    def lines(self) -> list[str]:
        return self.out.splitlines()


def find() -> str | None:
    """The path of a kubectl: KUBECTL, then KUBE_BINARIES, then PATH."""
    if named := os.environ.get("KUBECTL"):
        return named
    if folder := os.environ.get("KUBE_BINARIES"):
        candidate = Path(folder, "kubectl")
        if candidate.exists():
            return str(candidate)
    return shutil.which("kubectl")


class Kubectl:
    """One kubectl with one kubeconfig and one namespace."""

    def __init__(self, program: str, kubeconfig: str, namespace: str = "default") -> None:
        self.program, self.kubeconfig, self.namespace = program, kubeconfig, namespace

    def command(self, *args: str) -> list[str]:
        return [self.program, f"--kubeconfig={self.kubeconfig}", f"--namespace={self.namespace}", *args]

    def run(
        self, *args: str, stdin: str | None = None, timeout: float = 90, env: dict[str, str] | None = None
    ) -> Result:
        done = subprocess.run(
            self.command(*args),
            input=stdin,
            stdin=subprocess.DEVNULL if stdin is None else None,
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
            env={**os.environ, **(env or {})},
        )
        return Result(done.stdout, done.stderr, done.returncode)

    def __call__(self, *args: str, stdin: str | None = None, timeout: float = 90) -> str:
        """Run, expect success, return what it printed on stdout."""
        result = self.run(*args, stdin=stdin, timeout=timeout)
        assert result.code == 0, f"kubectl {' '.join(args)} ended with {result.code}: {result.err or result.out}"
        return result.out

    def fails(self, *args: str, stdin: str | None = None, timeout: float = 90) -> str:
        """Run, expect failure, return what it printed on stderr."""
        result = self.run(*args, stdin=stdin, timeout=timeout)
        assert result.code != 0, f"kubectl {' '.join(args)} succeeded: {result.out}"
        return result.err

    def popen(self, *args: str, **kwargs: object) -> subprocess.Popen[str]:
        return subprocess.Popen(  # type: ignore[call-overload,no-any-return]
            self.command(*args), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **kwargs
        )


def eventually(true: Callable[[], object], within: float = PATIENCE) -> None:
    """Ask again until it is so, for states of a foreign cluster that no watch tells."""
    end = time.monotonic() + within
    while not (found := true()):
        assert time.monotonic() < end, f"not so after {within} s: {found!r}"
        time.sleep(0.1)


def told(ask: Callable[[], str], *words: str) -> str:
    """What `ask` returned once it had all these words. Events, logs and what an informer knows follow what they tell
    of: whoever looks right afterwards may be too early, on a real cluster too."""
    end = time.monotonic() + PATIENCE
    while True:
        text = ask()
        missing = [word for word in words if word not in text]
        if not missing:
            return text
        assert time.monotonic() < end, f"{missing} not said after {PATIENCE} s: {text}"
        time.sleep(0.1)
