"""Patches: five ways to change an object, all pure functions from dicts to dicts.

Read in this order:
- `merge.py` RFC 7386, twenty lines: a dict laid over a dict, null deletes.
- `json_patch.py` RFC 6902: a list of operations on paths.
- `strategic.py` Kubernetes' own: lists are merged by a key that the schema names (`$patch`, `$setElementOrder/…`).
- server-side apply, where each field has managers: `fieldset.py` (sets of paths), `typed.py` (what the schema says of
  lists and maps), `walk.py` (compare, merge, remove), `managed_fields.py` (who manages what; every write goes through
  `track_update`), `apply.py` (the merge itself, conflicts), `scale_fields.py` (managers of a scale),
  `resets.py` (what a door does not set).
- `request.py` reads a PATCH request and words what is wrong with it; `converted.py` what does not fit its field.

Nothing here changes its arguments. Upstream: `apimachinery/pkg/util/{strategicpatch,managedfields}`,
`sigs.k8s.io/structured-merge-diff/v6`, `gopkg.in/evanphx/json-patch.v4`, `apiserver/pkg/endpoints/handlers/patch.go`.
Left out: conversion between versions of a kind (a manager's set is read as if it were of the version at hand).
"""
