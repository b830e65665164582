"""kube-controller-manager: the loops that make what is what was asked for.

Upstream: `cmd/kube-controller-manager`, `pkg/controller`. One file a controller. Read in this order:

1. `replicaset`        the smallest whole one: `decide` (pure), `sync`, and what wakes it
   `base`, `expectations`, `ownership`, `pods`, `pod_control`, `hashing`: what it stands on, and others too
2. `deployment_util`   the arithmetic of rollouts (pure); `deployment` acts on it
3. `service_pods`, `endpoints`, `endpointslice`, `endpointslicemirroring`      the addresses behind a Service
4. `node_health` (pure), `nodelifecycle`, `tainteviction`, `nodeipam`, `podgc`      nodes, and pods of lost nodes
5. `namespace`, `gc_graph` (pure), `garbagecollector`, `discovery`      how things go
6. `serviceaccount`, `serviceaccount_token`      what a namespace holds
7. `statefulset`, `daemonset` (with `history`), `job_tally`, `job_policies` and `job_util` (pure), `job`, `cron` and
   `cronjob`, `ttlafterfinished`
8. `disruption`, `resourcequota`, `certificates`, `clusterroleaggregation`, `volumebinder`, `volumeprotection`,
   `validatingadmissionpolicystatus`, `resourceclaim`
9. `manager` (which controllers there are), `credentials`, `health`, `run`, `options`, `__main__`      the process

`manager.DESCRIPTORS` is the list of those that run, under upstream's names; `manager.NOT_YET` names the others of
upstream's, which --controllers takes and which do nothing.
"""
