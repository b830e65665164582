"""The cluster's network, in three modes; the best one that the system allows is found by trial.

- **root**: a bridge `ws<k>` on the host, a network namespace a node. `curl http://CLUSTER-IP` works on the host.
- **userns**: the same inside one unprivileged user, network and mount namespace. The API server is reached from
  the host through a socket that was opened there before.
- **plain**: every address of 127/8 can be bound on Linux, so nodes, pods and Services get theirs there.

Read `topology` (PURE: the `ip` commands), `choose` (the trial and its words), `linux` (system calls that Python 3.11
lacks) and `holder` (the process that makes the network and holds it; `holder_start` starts it). `cni` is what kubelets
read.

Between nodes no daemon is needed: a node takes the whole pod range for on-link and answers for its own pods by
proxy ARP. A real cluster does this with routes that a network add-on (flannel's host-gw) or a cloud's route
controller writes.
"""
