"""kube-apiserver: the front end of the cluster, and the only one that talks to etcd.

Read in this order:

- `chain.py`           the links that every request passes, as one list
- `server/`            HTTP: what a request is, what its path asks for, how errors become a Status
- `authentication/`    who?            `authorization/`  may he?
- `registry/`          reading, writing, deleting: one path for all kinds
- `audit/`  who did what    `flowcontrol/`  whose turn it is when there is too much to do
- `admission/`         the last word on a write    `allocators/`  addresses and ports of Services
- `cacher.py`          the watch cache: one etcd watch feeds all readers and watchers
- `handlers/`          the verbs, watch, patches, subresources, discovery, health; what kubelets answer
- `printers/`          the columns of `kubectl get`
- `storage/`           the one place that speaks etcd
- `bootstrap/`         what a new cluster holds
- `assembly.py`        all of it put together, without a socket; `run.py` the process, `options.py` its flags

Left out for now: aggregation, CustomResourceDefinitions, webhooks and policies, SPDY
(WebSocket serves every client since 1.31), protobuf answers.
Upstream: `cmd/kube-apiserver`, `pkg/controlplane`, `staging/src/k8s.io/apiserver`.
"""
