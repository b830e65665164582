"""kube-apiserver: the front end of the cluster, and the only one that talks to etcd.

Read in this order:

- `chain.py`           the links that every request passes, as one list
- `server/`            HTTP: what a request is, what its path asks for, how errors become a Status
- `authentication/`    who?            `authorization/`  may he?
- `registry/`          reading, writing, deleting: one path for all kinds
- `audit/`  who did what    `flowcontrol/`  whose turn it is when there is too much to do
- `admission/`         the last word on a write    `allocators/`  addresses and ports of Services
- `cacher.py`, `shelf.py` the watch cache: one etcd watch feeds all readers and watchers; what it holds of one kind
- `extensions/`        custom resources: what a CustomResourceDefinition makes of the server
- `webhooks/`          HTTPS to others' servers that are asked: for admission, for conversion
- `aggregator/`        groups that another server serves, behind an APIService
- `handlers/`          the verbs, watch, patches, subresources, discovery, health; what kubelets answer
- `printers/`          the columns of `kubectl get`
- `storage/`           the one place that speaks etcd
- `bootstrap/`         what a new cluster holds
- `assembly.py`        all of it put together, without a socket; `run.py` the process, `options.py` its flags

Left out for now: SPDY (WebSocket serves every client since 1.31), protobuf answers, OpenAPI v2 of built-in kinds
(clients read v3), estimates of what a CEL rule may cost, type checks of policies in their status.
Upstream: `cmd/kube-apiserver`, `pkg/controlplane`, `staging/src/k8s.io/apiserver`.
"""
