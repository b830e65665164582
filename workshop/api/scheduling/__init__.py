"""What a pod asks of a node, and whether one question of it is answered. Scheduler, controllers and kubelet ask alike.

- `requests.py`       how much of each resource a pod needs; `pod_resources.py` the same exactly, and its limits
- `tolerations.py`    which taints it endures
- `node_affinity.py`  which nodes it wants, by labels and names
- `host_ports.py`     which ports of the node it takes

Upstream: `component-helpers/resource`, `component-helpers/scheduling/corev1`. Pure.
"""
