"""The aggregation layer: an APIService says who serves a group and version: this server, or another one behind a
Service, to which requests are passed on under the name of who sent them.

Read in this order:

- `local.py`         the APIServices of what this server serves itself. Pure
- `availability.py`  can the server behind a Service be asked? Pure
- `backend.py`       the connection to it, with the front proxy's certificate
- `controller.py`    follows APIServices, Services and EndpointSlices; asks; keeps what others serve
- `proxy.py`         a request on its way there and back; `strategy.py` writing an APIService

Left out: OpenAPI v2 of other servers (v3 is passed on). Upstream: `staging/src/k8s.io/kube-aggregator`.
"""
