"""kube-apiserver: the front end of the cluster, and the only one that talks to etcd.

Read in this order:

- `chain.py`           the links that every request passes, as one list; `dispatch.py` which handler is behind them
- `interfaces.py`      the seams: who asks, may he, what admission sees
- `server/`            HTTP: what a request is, what its path asks for, how errors become a Status
- `authentication/`    who?            `authorization/`  may he?
- `registry/`          reading, writing, deleting: one path for all kinds
- `audit/`  who did what    `flowcontrol/`  whose turn it is when there is too much to do
- `admission/`         the last word on a write (`patience.py`: when expressions are dear)
- `allocators/`        addresses and ports of Services
- `cacher.py`, `shelf.py` the watch cache: one etcd watch feeds all readers and watchers; what it holds of one kind;
  `cached.py` what others than the registry see of it
- `extensions/`        custom resources: what a CustomResourceDefinition makes of the server
- `webhooks/`          HTTPS to others' servers that are asked: for admission, for conversion
- `aggregator/`        groups that another server serves, behind an APIService
- `handlers/`          the verbs, watch, patches, subresources, discovery, health; what kubelets answer
- `printers/`          the columns of `kubectl get`
- `storage/`           the one place that speaks etcd
- `bootstrap/`         what a new cluster holds
- `assembly.py`        all of it put together, without a socket (`security.py`: who may what, from the flags);
  `run.py` the process, `options.py` its flags, `served.py` what they let it serve;
  `components.py`, `glass.py` what it tells of others and of itself

Left out: SPDY (WebSocket serves every client since 1.31), protobuf answers.
Upstream: `cmd/kube-apiserver`, `pkg/controlplane`, `staging/src/k8s.io/apiserver`.
"""
