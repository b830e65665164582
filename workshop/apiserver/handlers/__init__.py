"""What answers a request once it has passed the chain.

- `resources.py`     the verbs of every kind
- `watch.py`         streams of changes
- `forms.py`         how objects are shown: whole, as a Table, as metadata only
- `patches.py`       the four kinds of PATCH
- `subresources.py`  status, approval, finalize, ephemeralcontainers, resize; `scale.py`
- `posted.py`        what is posted and answered: `bindings.py`, `evictions.py`, `tokens.py`, `reviews.py`
- `node_proxy.py`    log, exec, attach, portforward, proxy: passed on to a kubelet or a pod (`locations.py`: which;
                     `connect_options.py`, `log_options.py`: what is asked for; `rewriting.py`: links in pages)
- `discovery.py`     which groups, versions and resources there are; OpenAPI
- `health.py`        /healthz, /livez, /readyz, /version; `metrics.py`, `etcd_times.py` /metrics

Upstream: `staging/src/k8s.io/apiserver/pkg/endpoints/handlers`.
"""
