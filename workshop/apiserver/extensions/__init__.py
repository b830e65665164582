"""Custom resources: CustomResourceDefinitions make new kinds while the server runs.

Read in this order:

- `controller.py`  follows the definitions: conditions, what is served, the end of a definition
- `presenting.py`  stored objects in the version that a request asks for
- `conversion.py`  from version to version: none is needed, or a webhook knows
- `strategies.py`  what writing a definition or a custom resource does differently; `scale.py` its replicas

What a schema makes of an object, and which names and conditions a definition gets, is in `workshop.api.custom`. All
else (handlers, registry, watch cache) treats a custom resource as any other.
Upstream: `staging/src/k8s.io/apiextensions-apiserver`.
"""
