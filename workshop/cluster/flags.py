"""PURE: what each program is told on its command line, in the order of kubeadm's manifests."""

from __future__ import annotations

from dataclasses import dataclass

from workshop.cluster.addresses import Addresses, Node

ISSUER = "https://kubernetes.default.svc.cluster.local"


@dataclass(frozen=True)
class Flags:
    """The flags of each program, in the order of kubeadm's manifests."""

    directory: str
    at: Addresses
    endpoint: str
    max_pods: int
    lab: bool = False

    def pki(self, file: str) -> str:
        return f"{self.directory}/pki/{file}"

    def kubeconfig(self, who: str) -> str:
        return f"{self.directory}/kubeconfig/{who}.conf"

    def etcd(self, master: int) -> tuple[str, ...]:
        at = self.at.master(master)
        client, peer = f"https://{at}:2379", f"https://{at}:2380"
        alone = self.at.masters == 1
        names = {1: "etcd-0"} if alone else {n: f"master-{n}" for n in range(1, self.at.masters + 1)}
        cluster = ",".join(f"{name}=https://{self.at.master(n)}:2380" for n, name in names.items())
        return (
            "etcd",
            f"--name={names[master]}",
            f"--data-dir={self.directory}/etcd" + ("" if alone else f"/{names[master]}"),
            f"--listen-client-urls={client}",
            f"--advertise-client-urls={client}",
            f"--listen-peer-urls={peer}",
            f"--initial-advertise-peer-urls={peer}",
            f"--initial-cluster={cluster}",
            "--initial-cluster-state=new",
            f"--cert-file={self.pki('etcd/server.crt')}",
            f"--key-file={self.pki('etcd/server.key')}",
            "--client-cert-auth=true",
            f"--trusted-ca-file={self.pki('etcd/ca.crt')}",
            f"--peer-cert-file={self.pki('etcd/peer.crt')}",
            f"--peer-key-file={self.pki('etcd/peer.key')}",
            "--peer-client-cert-auth=true",
            f"--peer-trusted-ca-file={self.pki('etcd/ca.crt')}",
        )

    def kube_apiserver(self, master: int) -> tuple[str, ...]:
        here = self.at.master(master)
        # The own member first; while it is away, another one.
        members = [here, *(address for address in self.at.control_planes if address != here)]
        return (
            "kube-apiserver",
            f"--advertise-address={here}",
            f"--bind-address={here}",
            "--secure-port=6443",
            "--allow-privileged=true",
            "--authorization-mode=Node,RBAC",
            f"--client-ca-file={self.pki('ca.crt')}",
            "--enable-admission-plugins=NodeRestriction",
            f"--etcd-servers={','.join(f'https://{address}:2379' for address in members)}",
            f"--etcd-cafile={self.pki('etcd/ca.crt')}",
            f"--etcd-certfile={self.pki('apiserver-etcd-client.crt')}",
            f"--etcd-keyfile={self.pki('apiserver-etcd-client.key')}",
            "--storage-media-type=application/json",
            f"--kubelet-certificate-authority={self.pki('ca.crt')}",
            f"--kubelet-client-certificate={self.pki('apiserver-kubelet-client.crt')}",
            f"--kubelet-client-key={self.pki('apiserver-kubelet-client.key')}",
            "--kubelet-preferred-address-types=InternalIP,Hostname",
            f"--proxy-client-cert-file={self.pki('front-proxy-client.crt')}",
            f"--proxy-client-key-file={self.pki('front-proxy-client.key')}",
            "--requestheader-allowed-names=front-proxy-client",
            f"--requestheader-client-ca-file={self.pki('front-proxy-ca.crt')}",
            "--requestheader-extra-headers-prefix=X-Remote-Extra-",
            "--requestheader-group-headers=X-Remote-Group",
            "--requestheader-username-headers=X-Remote-User",
            f"--service-account-issuer={ISSUER}",
            f"--service-account-key-file={self.pki('sa.pub')}",
            f"--service-account-signing-key-file={self.pki('sa.key')}",
            f"--service-cluster-ip-range={self.at.services}",
            f"--tls-cert-file={self.pki('apiserver.crt')}",
            f"--tls-private-key-file={self.pki('apiserver.key')}",
            *(["--etcd-compaction-interval=1h"] if self.lab else []),
            *([f"--hostname-override=master-{master}"] if len(self.at.control_planes) > 1 else []),
            *(self._audit() if self.lab else ()),
            *(["--allow-loopback-endpoints=true"] if self.at.mode == "plain" else []),
        )

    def _audit(self) -> tuple[str, ...]:
        """A lab reads off the audit log who watches what and who wrote what."""
        return (
            f"--audit-policy-file={self.directory}/audit-policy.yaml",
            f"--audit-log-path={self.directory}/logs/audit.log",
            "--audit-log-maxsize=20",
            "--audit-log-maxbackup=1",
        )

    def on_master(self, who: str, master: int) -> str:
        """The kubeconfig of a program of one master, which calls the API server beside it."""
        return self.kubeconfig(who if self.at.masters == 1 else f"{who}-master-{master}")

    def kube_controller_manager(self, master: int) -> tuple[str, ...]:
        conf = self.on_master("controller-manager", master)
        return (
            "kube-controller-manager",
            f"--kubeconfig={conf}",
            f"--authentication-kubeconfig={conf}",
            f"--authorization-kubeconfig={conf}",
            f"--bind-address={self.at.master(master)}",
            "--secure-port=10257",
            "--allocate-node-cidrs=true",
            f"--cluster-cidr={self.at.pods}",
            "--node-cidr-mask-size=24",
            f"--service-cluster-ip-range={self.at.services}",
            "--cluster-name=kubernetes",
            f"--client-ca-file={self.pki('ca.crt')}",
            f"--cluster-signing-cert-file={self.pki('ca.crt')}",
            f"--cluster-signing-key-file={self.pki('ca.key')}",
            "--controllers=*",
            "--leader-elect=true",
            f"--requestheader-client-ca-file={self.pki('front-proxy-ca.crt')}",
            f"--root-ca-file={self.pki('ca.crt')}",
            f"--service-account-private-key-file={self.pki('sa.key')}",
            f"--tls-cert-file={self.pki('controller-manager.crt')}",
            f"--tls-private-key-file={self.pki('controller-manager.key')}",
            "--use-service-account-credentials=true",
        )

    def kube_scheduler(self, master: int) -> tuple[str, ...]:
        conf = self.on_master("scheduler", master)
        return (
            "kube-scheduler",
            f"--kubeconfig={conf}",
            f"--authentication-kubeconfig={conf}",
            f"--authorization-kubeconfig={conf}",
            f"--bind-address={self.at.master(master)}",
            "--secure-port=10259",
            f"--client-ca-file={self.pki('ca.crt')}",
            "--leader-elect=true",
            f"--tls-cert-file={self.pki('scheduler.crt')}",
            f"--tls-private-key-file={self.pki('scheduler.key')}",
        )

    def kubelet(self, node: Node) -> tuple[str, ...]:
        return (
            "kubelet",
            f"--kubeconfig={self.kubeconfig(f'kubelet-{node.name}')}",
            f"--hostname-override={node.name}",
            f"--node-ip={node.address}",
            f"--address={node.address}",
            "--port=10250",
            f"--healthz-bind-address={node.address}",
            "--healthz-port=10248",
            f"--root-dir={self.directory}/nodes/{node.name}",
            f"--cni-conf-dir={self.directory}/nodes/{node.name}/cni",
            f"--container-runtime-endpoint={self.endpoint}",
            f"--max-pods={self.max_pods}",
            f"--client-ca-file={self.pki('ca.crt')}",
            f"--tls-cert-file={self.pki(f'kubelet-{node.name}.crt')}",
            f"--tls-private-key-file={self.pki(f'kubelet-{node.name}.key')}",
            "--cluster-domain=cluster.local",
            f"--cluster-dns={self.at.dns_service}",
            "--register-node=true",
        )

    def kube_proxy(self, node: Node) -> tuple[str, ...]:
        return (
            "kube-proxy",
            f"--kubeconfig={self.kubeconfig('proxy')}",
            f"--hostname-override={node.name}",
            f"--bind-address={node.address}",
            "--proxy-mode=userspace",
            f"--cluster-cidr={self.at.pods}",
            f"--healthz-bind-address={node.address}:10256",
            f"--metrics-bind-address={node.address}:10249",
        )
