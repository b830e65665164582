"""HTTP: from an ASGI scope to a `Request`, and from a `Response` or an ApiError back.

- `http.py`       Request, Response, bodies and their limits
- `info.py`       what a path asks for: verb, group, version, resource, namespace, name
- `negotiate.py`  which form of answer the client wants: objects, a Table, metadata only
- `app.py`        the ASGI application around the chain; `cors.py`, `timeout.py`, `warned.py`, `websocket.py` what
                  it adds

Upstream: `staging/src/k8s.io/apiserver/pkg/endpoints`.
"""
