"""kubelet's flags, as the real one names them."""

from __future__ import annotations

import os
import socket
import sys
from collections.abc import Sequence

from workshop import component
from workshop.kubelet.config import KubeletConfig


def parser() -> component.FlagParser:
    """All flags. `--config` is accepted with the few fields that have a meaning here."""
    flags = component.FlagParser("kubelet", "The node agent: makes the pods bound to its node real.")
    flags.add_argument("--kubeconfig", default="", help="credentials for the API server")
    flags.add_argument("--hostname-override", default="", help="the node's name; else the host's")
    flags.add_argument("--node-ip", default="", help="the node's address, told in its status")
    flags.add_argument("--root-dir", default="/var/lib/kubelet", help="where pods, volumes and logs are kept")
    flags.add_argument(
        "--container-runtime-endpoint",
        default="process:",
        help="process:, simulated:, or docker: (docker:unix:///path/to.sock names another socket)",
        dest="runtime_endpoint",
    )
    flags.add_argument("--cni-conf-dir", default="", help="directory of network configurations")
    flags.add_argument("--pod-cidr", default="", help="pod range when no controller gives one")
    flags.add_argument("--max-pods", type=int, default=110, help="how many pods this node takes")
    flags.boolean("--register-node", True, "create the Node object")
    flags.strings("--register-with-taints", "taints at registration: key=value:effect")
    flags.strings("--node-labels", "labels at registration: key=value")
    flags.add_argument("--tls-cert-file", default="", help="serving certificate")
    flags.add_argument("--tls-private-key-file", default="", help="serving key")
    flags.add_argument("--client-ca-file", default="", help="authority of client certificates")
    flags.add_argument("--address", default="0.0.0.0", help="address to serve on")
    flags.add_argument("--port", type=int, default=10250, help="port to serve on")
    flags.add_argument("--healthz-bind-address", default="127.0.0.1", help="address of the health port")
    flags.add_argument("--healthz-port", type=int, default=10248, help="health port; 0 for none")
    flags.add_argument("--pod-manifest-path", default="", help="directory of static pods")
    flags.strings("--cluster-dns", "name servers written into pods")
    flags.add_argument("--cluster-domain", default="cluster.local", help="the cluster's DNS domain")
    flags.add_argument("--cloud-provider", default="", help="external: wait for the cloud to initialize the node")
    flags.duration("--node-status-update-frequency", 10.0, "how often the node's status is computed")
    flags.duration("--node-status-report-frequency", 300.0, "how often an unchanged node status is written")
    flags.boolean("--fail-swap-on", False, "accepted; swap is never looked at")
    flags.add_argument("--config", default="", help="KubeletConfiguration file; flags win over it")
    flags.add_argument("-v", "--v", type=int, default=0, dest="verbosity", help="log level")
    return flags


_CONFIG_FIELDS = {
    "maxPods": "--max-pods",
    "podCIDR": "--pod-cidr",
    "address": "--address",
    "port": "--port",
    "healthzPort": "--healthz-port",
    "healthzBindAddress": "--healthz-bind-address",
    "staticPodPath": "--pod-manifest-path",
    "clusterDomain": "--cluster-domain",
    "tlsCertFile": "--tls-cert-file",
    "tlsPrivateKeyFile": "--tls-private-key-file",
    "containerRuntimeEndpoint": "--container-runtime-endpoint",
}


def _flags_of_file(path: str) -> list[str]:
    """The flags that say the same as a KubeletConfiguration file."""
    import yaml

    with open(path, encoding="utf-8") as file:
        document = yaml.safe_load(file) or {}
    given = [f"{flag}={document[key]}" for key, flag in _CONFIG_FIELDS.items() if key in document]
    given += [f"--cluster-dns={address}" for address in document.get("clusterDNS", [])]
    authority = document.get("authentication", {}).get("x509", {}).get("clientCAFile")
    return given + ([f"--client-ca-file={authority}"] if authority else [])


def config_of(argv: Sequence[str]) -> tuple[KubeletConfig, int]:
    """Settings and log level out of an argument list. Raises SystemExit with pflag's words."""
    flags = parser()
    options = flags.parse_args(list(argv))
    if options.config:
        try:
            options = flags.parse_args(_flags_of_file(options.config) + list(argv))
        except (OSError, ValueError) as problem:
            flags.error(f"failed to load kubelet config file, path: {options.config}, error: {problem}")
    labels = {}
    for item in options.node_labels:
        key, _, value = item.partition("=")
        labels[key] = value
    node_name = (options.hostname_override or socket.gethostname()).strip().lower()
    config = KubeletConfig(
        kubeconfig=options.kubeconfig,
        node_name=node_name,
        node_ip=options.node_ip or "127.0.0.1",
        root_dir=os.path.abspath(options.root_dir),
        runtime_endpoint=options.runtime_endpoint,
        cni_conf_dir=options.cni_conf_dir,
        pod_cidr=options.pod_cidr,
        max_pods=options.max_pods,
        register_node=options.register_node,
        register_with_taints=tuple(options.register_with_taints),
        node_labels=labels,
        tls_cert_file=options.tls_cert_file,
        tls_private_key_file=options.tls_private_key_file,
        client_ca_file=options.client_ca_file,
        address=options.address,
        port=options.port,
        healthz_bind_address=options.healthz_bind_address,
        healthz_port=options.healthz_port,
        pod_manifest_path=options.pod_manifest_path,
        cluster_dns=tuple(options.cluster_dns),
        cluster_domain=options.cluster_domain,
        cloud_provider=options.cloud_provider,
        node_status_update_frequency=options.node_status_update_frequency,
        node_status_report_frequency=options.node_status_report_frequency,
    )
    return config, options.verbosity


def main(argv: Sequence[str] | None = None) -> int:
    """Run kubelet until a signal; returns the exit status."""
    config, verbosity = config_of(sys.argv[1:] if argv is None else argv)
    component.setup_logging(verbosity)
    from workshop.kubelet import run

    return component.run_until_signal(lambda stop: run.run(config, stop))


if __name__ == "__main__":
    raise SystemExit(main())
