"""kube-proxy: makes a Service's address answer, on every node.

The real one programs the kernel (iptables, IPVS, nftables). This is its first form, the userspace proxy of
Kubernetes 1.0: the process itself listens on each ClusterIP and forwards to a pod. Read in this order:

- `rules`       PURE: `render(services, slices, node) → {Listen: Target}`; which endpoints a Service has here
- `balance`     PURE: `pick(target, client, …) → Endpoint`; round robin, and ClientIP affinity
- `forwarder`   what acts: listening sockets, TCP with half-close, UDP with sessions
- `health`      `/healthz`, `/livez` and `/metrics`; `service_health`: a Service's healthCheckNodePort
- `run`         informers → render → apply the difference

A client sees a listening socket where there are ready endpoints, and a refused connection where there are none.
What a pod sees as its client is the node, not the true client: the price of this backend.

Addresses of Services must reach this process: in a node's network namespace the Service range is a local route; in
mode plain it lies in 127/8, and the proxies of all nodes share each address by SO_REUSEPORT. There, ports that the
system does not let us bind are shifted by 10,000, at Service and pod alike.

What cannot be opened (SCTP, a port that is taken) is told in an event at the Service. Left out: IPv6; the exception
that lets pods of the cluster reach a Service with externalTrafficPolicy Local at any node by its outer addresses.
Upstream: `pkg/proxy`; the backend's model is `pkg/proxy/userspace` of 1.25.
"""
