"""kube-scheduler: gives each pod without a node a node. It decides, it starts nothing; the kubelet does that.

One pod at a time goes through the scheduling cycle, which is a pure function of the pod and a snapshot of the cluster;
binding it is a request to the API server, and many of those are under way at once.

    queue → PreFilter → Filter → (none fits: PostFilter, preemption) → Score → Reserve → Permit → Bind

Read in this order:
- `node_info.py`: what is known of a pod and of a node: requests, free room, labels, ports.
- `framework.py`: the extension points, and `schedule(pod, snapshot) → Decision`, with the reason of each node.
- `plugins/`: one file each. `plugins/__init__.py` is the list of what runs, in its order, with its weight.
- `queue.py`: who is next: ready, backing off, or waiting for something to change.
- `cache.py`: the cluster as the scheduler believes it to be, its own unconfirmed decisions included; snapshots.
- `preemption.py`: whom to evict so that a more important pod fits.
- `scheduler.py`: informers in (`events.py`, `owners.py`), bindings out.
- `run.py`, `options.py`, `health.py`, `__main__.py`: the process around it.

Upstream: `pkg/scheduler`, `cmd/kube-scheduler`. Left out: choosing volumes for claims that wait for their first
consumer, volume limits and zones, choosing devices for ResourceClaims (pods wait for them), gang scheduling, extenders.
A configuration file gives profiles, weights and leader election.
"""
