"""kube-proxy's flags, as the real one names them."""

from __future__ import annotations

import socket
import sys
from collections.abc import Sequence

from workshop import component


def parser() -> component.FlagParser:
    flags = component.FlagParser("kube-proxy", "Makes the addresses of Services answer on this node.")
    flags.add_argument("--kubeconfig", default="", help="credentials for the API server")
    flags.add_argument("--config", default="", help="KubeProxyConfiguration file; flags win over it")
    flags.add_argument("--hostname-override", default="", help="the node's name; else the host's")
    flags.add_argument("--bind-address", default="0.0.0.0", help="the node's address, where NodePorts are opened")
    flags.add_argument("--proxy-mode", default="userspace", help="userspace, the only backend so far")
    flags.add_argument("--cluster-cidr", default="", help="the range of pods; accepted, not needed by this backend")
    flags.add_argument("--healthz-bind-address", default="0.0.0.0:10256", help="address:port of /healthz; empty: none")
    flags.add_argument(
        "--metrics-bind-address", default="127.0.0.1:10249", help="address:port of /metrics; empty: none"
    )
    flags.duration("--min-sync-period", 0.01, "how long to gather changes before they are applied")
    flags.add_argument("-v", "--v", type=int, default=0, dest="verbosity", help="log level")
    return flags


_CONFIG_FIELDS = {
    "bindAddress": "--bind-address",
    "clusterCIDR": "--cluster-cidr",
    "healthzBindAddress": "--healthz-bind-address",
    "hostnameOverride": "--hostname-override",
    "metricsBindAddress": "--metrics-bind-address",
    "mode": "--proxy-mode",
}


def _flags_of_file(path: str) -> list[str]:
    """The flags that say the same as a KubeProxyConfiguration file."""
    import yaml

    with open(path, encoding="utf-8") as file:
        document = yaml.safe_load(file) or {}
    given = [f"{flag}={document[key]}" for key, flag in _CONFIG_FIELDS.items() if document.get(key)]
    kubeconfig = (document.get("clientConnection") or {}).get("kubeconfig")
    return given + ([f"--kubeconfig={kubeconfig}"] if kubeconfig else [])


def _address(flags: component.FlagParser, text: str) -> tuple[str, int] | None:
    if not text:
        return None
    host, _, port = text.rpartition(":")
    if not host or not port.isdigit():
        flags.error(f'"{text}" is not an address and a port')
    return host, int(port)


def main(argv: Sequence[str] | None = None) -> int:
    """Run kube-proxy until a signal; returns the exit status."""
    given = list(sys.argv[1:] if argv is None else argv)
    flags = parser()
    options = flags.parse_args(given)
    if options.config:
        try:
            options = flags.parse_args(_flags_of_file(options.config) + given)
        except (OSError, ValueError) as problem:
            flags.error(f"failed to load config file {options.config}: {problem}")
    if options.proxy_mode != "userspace":
        flags.error(f"unknown proxy mode {options.proxy_mode!r}: only userspace is there")
    component.setup_logging(options.verbosity)
    from workshop.proxy import run

    config = run.Config(
        kubeconfig=options.kubeconfig,
        node_name=(options.hostname_override or socket.gethostname()).strip().lower(),
        bind_address=options.bind_address,
        healthz=_address(flags, options.healthz_bind_address),
        metrics=_address(flags, options.metrics_bind_address),
        min_sync_period=options.min_sync_period,
    )
    return component.run_until_signal(lambda stop: run.run(config, stop))


if __name__ == "__main__":
    raise SystemExit(main())
