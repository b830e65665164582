"""Which mode the system allows, found by trial, and the reason in words."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass

from workshop.cluster.layout import ClusterError
from workshop.cluster.plan import ASKED

PLATFORM: str = sys.platform
TRIAL = ["link add wstrial type bridge", "link add wstrial-n1 type veth peer name eth0"]


@dataclass(frozen=True)
class Verdict:
    """Whether one mode is possible here, and why (not)."""

    mode: str
    possible: bool
    why: str


def ip_command() -> str | None:
    """Path of iproute2's `ip`; Debian keeps it in /usr/sbin, which is not on an ordinary user's PATH."""
    return shutil.which("ip", path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin")


def verdict(mode: str) -> Verdict:
    """Try one mode."""
    if mode == "plain":
        if PLATFORM == "linux":
            return Verdict(mode, True, "every address of 127/8 can be bound")
        return Verdict(mode, False, "only Linux answers on every address of 127/8")
    if PLATFORM != "linux":
        return Verdict(mode, False, "network namespaces are Linux's")
    if mode == "root" and os.geteuid() != 0:
        return Verdict(mode, False, "you are not root")
    ip = ip_command()
    if ip is None:
        return Verdict(mode, False, "the `ip` command is missing: install iproute2")
    return _trial(mode, ip)


def _trial(mode: str, ip: str) -> Verdict:
    argv = [sys.executable, "-S", "-m", "workshop.cluster.network.trial", mode, ip]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(part for part in sys.path if part)}
    try:
        result = subprocess.run(
            argv, input="\n".join(TRIAL), capture_output=True, text=True, timeout=60, check=False, env=environment
        )
    except subprocess.TimeoutExpired as late:
        return Verdict(
            mode, False, f"the trial did not end within {late.timeout:.0f} s: the machine has too much to do"
        )
    if result.returncode == 0:
        good = "namespaces, bridges and veth pairs can be made"
        return Verdict(mode, True, good if mode == "root" else f"{good} inside an unprivileged user namespace")
    return Verdict(mode, False, (result.stderr.strip().splitlines() or ["the trial failed"])[-1])


def choose(forced: str | None) -> Verdict:
    """The best mode, or the forced one. Raises ClusterError: a forced mode never falls back."""
    if forced:
        found = verdict(forced)
        if not found.possible:
            raise ClusterError(f"mode {forced} is not possible here: {found.why}")
        return Verdict(forced, True, f"{ASKED}; {found.why}")
    refused: list[str] = []
    for mode in ("root", "userns", "plain"):
        found = verdict(mode)
        if found.possible:
            return Verdict(mode, True, "; ".join([found.why, *refused]))
        refused.append(f"not {mode}: {found.why}")
    raise ClusterError(f"no mode is possible here ({'; '.join(refused)})")
