"""kubelet's settings after flags are read: one frozen value that the rest takes."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True)
class KubeletConfig:
    """Named as the flags are. Paths are absolute."""

    kubeconfig: str
    node_name: str
    node_ip: str
    root_dir: str
    runtime_endpoint: str = "process:"
    cni_conf_dir: str = ""
    pod_cidr: str = ""
    max_pods: int = 110
    register_node: bool = True
    register_with_taints: tuple[str, ...] = ()
    node_labels: dict[str, str] = field(default_factory=dict)
    tls_cert_file: str = ""
    tls_private_key_file: str = ""
    client_ca_file: str = ""
    address: str = "0.0.0.0"
    port: int = 10250
    healthz_bind_address: str = "127.0.0.1"
    healthz_port: int = 10248
    pod_manifest_path: str = ""
    cluster_dns: tuple[str, ...] = ()
    cluster_domain: str = "cluster.local"
    cloud_provider: str = ""
    node_status_update_frequency: float = 10.0
    node_status_report_frequency: float = 300.0
