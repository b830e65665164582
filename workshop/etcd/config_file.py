"""Where flags come from beside the command line: variables `ETCD_…`, and the file of `--config-file`, which stands in
the place of both.

    name: m1                                 --name=m1
    listen-client-urls: http://a:1,http://b:2
    peer-transport-security:
      cert-file: peer.crt                    --peer-cert-file=peer.crt

Pure. Upstream: `server/embed/config.go` (configYAML), `pkg/flags/flag.go`.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import yaml

from workshop.etcd.config import Fatal

log = logging.getLogger("etcd")
PREFIX = "ETCD_"
#: Sections of a file: key → flag.
_SECURITY = {
    "client-transport-security": {"auto-tls": "auto-tls", "allowed-hostname": "client-cert-allowed-hostname"},
    "peer-transport-security": {"allowed-cn": "peer-cert-allowed-cn", "allowed-hostname": "peer-cert-allowed-hostname"},
}
#: Durations, which the file gives in nanoseconds.
_NANOSECONDS = ("-interval", "-time", "-timeout", "-duration")
_MILLISECONDS = {"heartbeat-interval", "election-timeout"}


def arguments(argv: Sequence[str], environment: Mapping[str, str], known: Collection[str], read: Any) -> list[str]:
    """The command line that counts. `read(path)` gives a file's bytes. Raises Fatal, OSError."""
    given = [f"-{a}" if a.startswith("-") and not a.startswith("--") and len(a) > 2 else a for a in argv]
    path = _value(given, "--config-file") or environment.get("ETCD_CONFIG_FILE", "")
    if path:
        return _from_file(read(path), known)
    return [*_from_environment(given, environment, known), *given]


def _value(given: Sequence[str], flag: str) -> str:
    """Of the flag's last place, as `--flag value` or `--flag=value`."""
    found = ""
    for place, argument in enumerate(given):
        name, equals, value = argument.partition("=")
        if name == flag:
            found = value if equals else (given[place + 1] if place + 1 < len(given) else "")
    return found


def _from_environment(given: Sequence[str], environment: Mapping[str, str], known: Collection[str]) -> list[str]:
    names = {argument.partition("=")[0] for argument in given}
    found = []
    for name, value in environment.items():
        if not name.startswith(PREFIX):
            continue
        flag = "--" + name.removeprefix(PREFIX).lower().replace("_", "-")
        if flag in names:
            raise Fatal(
                f'conflicting environment variable "{name}" is shadowed by corresponding command-line flag '
                "(either unset environment variable or disable flag)"
            )
        if flag not in known:
            log.warning("unrecognized environment variable %s=%s", name, value)
        elif value:
            found.append(f"{flag}={value}")
    return found


def _from_file(text: bytes, known: Collection[str]) -> list[str]:
    try:
        read = yaml.safe_load(text) or {}
    except yaml.YAMLError as error:
        raise Fatal(f"error verifying flags, {str(error).splitlines()[0]}. See 'etcd --help'.") from None
    if not isinstance(read, dict):
        raise Fatal("error verifying flags, the configuration file is no mapping. See 'etcd --help'.")
    found = []
    for key, value in read.items():
        if key in _SECURITY:
            if not isinstance(value, dict):
                raise Fatal(f"invalid {key}")
            prefix = "peer-" if key.startswith("peer") else ""
            pairs = [(_SECURITY[key].get(name, f"{prefix}{name}"), one) for name, one in value.items()]
        else:
            pairs = [(str(key), value)]
        for name, one in pairs:
            if f"--{name}" not in known:
                log.warning("unrecognized key %s in the configuration file", name)
            elif one is not None:
                found.append(f"--{name}={_shown(name, one)}")
    return found


def _shown(name: str, value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int) and name.endswith(_NANOSECONDS) and name not in _MILLISECONDS:
        return f"{value}ns"
    return ",".join(map(str, value)) if isinstance(value, list) else str(value)
