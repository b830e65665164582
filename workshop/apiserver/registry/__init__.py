"""The registry: what becomes of an object on its way into the store and out of it.

Read in this order:

- `fields.py`    which fields of a kind a field selector may ask for
- `convert.py`   one kind in several versions: one store
- `reader.py`    get and list: from the cache or from a revision
- `options.py`   the query parameters and bodies that steer a verb
- `strategy.py`  what a kind does differently; `strategies.py` holds those that do, with `pods.py`,
                 `services.py` and `devices.py`
- `writer.py`    create, update, patch: default, admit, validate, store; with `object_meta.py` (what of the metadata is
                 the server's), `preconditions.py` (which object, in which version) and `written.py` (what is left)
- `encoding.py`  objects as bytes in the store
- `deletion.py`  grace, finalizers, preconditions, propagation

Upstream: `staging/src/k8s.io/apiserver/pkg/registry/generic/registry/store.go`, `pkg/registry/*/*/strategy.go`.
"""
