"""kubelet: the node's agent. It makes the pods bound to its node real, and tells how they are.

Upstream: `cmd/kubelet`, `pkg/kubelet`. Read in this order:

- `actions.py`        compute_pod_actions(pod, observed, health): what is to be done. The heart; pure
- `pod_worker.py`     does it: one worker a pod, woken by changes, events, probes and waiting times;
                      `container_start.py` and `container_kill.py` are its hands, `pod_parts.py` what they share,
                      `termination_message.py` what a container leaves
- `status.py`         phase and conditions, `container_statuses.py`, `pod_resources.py`; `status_manager.py` writes
- `restarts.py`       who is started again after its end; pure
- `probes.py`         from single results to a verdict; `prober.py` tries (`dial.py`: by network); `lifecycle.py`: hooks
- `local_storage.py`  pods that write more than they may are evicted
- `unheeded.py`       what a pod asks for and this mode cannot do: an event tells; pure
- `admission.py`      whether a pod may run here at all; pure. `allocation.py` asks it, and resizes pods in place
- `pods.py`, `configs.py`, `env.py`, `envfile.py`, `volumes.py`, `backoff.py`   from a manifest to what a container gets
- `cri.py`            the seam to the runtime, with CRI's verbs
- `runtimes/`         `process` (real processes), `docker` (a Docker Engine's containers), `simulated` (statuses only)
- `shim/`             the small process that owns a pod's containers, and outlives kubelet
- `images/`           stand-ins for nginx, busybox, redis, … ; `network/`: what CNI plugins do
- `node.py`, `node_status.py`   registration, status, lease
- `objects.py`, `tokens.py`, `image_manager.py`, `static_pods.py`   what pods need and where else they come from
- `server/`           port 10250: logs, exec, attach, port-forward
- `run.py`            the wiring; `__main__.py` the flags

Left out: eviction by pressure of the node (those conditions stay False: a laptop whose disk is nine tenths full runs
pods all the same), CPU and topology managers, device plugins, CSI, checkpoints, log compression, swap, graceful node
shutdown, SPDY upgrades other than port-forward's inside a WebSocket (WebSocket is what kubectl speaks).
"""
