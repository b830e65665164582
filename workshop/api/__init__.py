"""What an object of the Kubernetes API is: everything about it that needs no server, pure and synchronous.

Objects are plain dicts shaped like the JSON that `kubectl get -o json` shows. Every component imports this room, and so
does a test or a notebook that wants to try a rule out.

Read in this order:
- `meta.py` names, labels, owners and times of an object; `conditions.py` its `status.conditions`
- `errors.py` the one error type, a `Status`, in upstream's words
- `labels.py`, `fields.py` selectors; `names.py` what names may look like; `quantity.py` `100m` and `1Gi`
- `resources.py` which kinds there are and under which paths; `schema.py` which fields a kind has
- `codec.py` JSON and YAML with limits (`json_syntax.py` and `yaml_json.py` word what is wrong with a text,
  `deep_json.py` reads what is nested deeper than Python's stack)
- `decode.py` a request's body as an object of its kind, read by `reading.py` as Go reads it (`self_reading.py`:
  quantities, times); `protobuf.py` the same from protobuf
- `defaults/` what is filled in where a manifest is silent; `dropped.py` what is forgotten
- `validation/` what is refused; `warnings` what is taken with a warning, `no_controller.py` what nobody acts on
- `scheduling/` what a pod asks of a node; `restarts.py` which of its containers start again
- `patch/` the patch types, server-side apply and managedFields
- `custom/` what a CustomResourceDefinition says, and what that makes of an object; `cel/` its rules' language
- `openapi/` the documents that clients ask for; `zpages.py` what a component says of itself
- `remembered.py` what a text means, worked out once
- `tables/` facts about upstream's types and resources, made by `tools/build_tables.py`

Left out: conversion between versions of a kind, except where a version differs in nothing but its name.
Upstream: `staging/src/k8s.io/apimachinery`, `staging/src/k8s.io/api`, `pkg/apis`.
"""
