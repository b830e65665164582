"""Custom resources: what a CustomResourceDefinition says, and what that makes of an object. Pure.

A schema stays the dict that the definition holds (`openAPIV3Schema`, an OpenAPI v3 structural schema with the
`x-kubernetes-…` extensions); every module here is a walk over a value along it.

Read in this order:
- `definition.py`   the versions of a definition, and the `Resource` that each becomes
- `structural.py`   pruning, defaults, nulls, embedded metadata: what becomes of a body before it is judged
- `values.py`       is a value what its schema asks for? with `formats.py` and `lists.py`
- `kind.py`         one version as the writer of the API server uses it: decode, default, validate
- `jsonpath.py`     the paths of printer columns, selectable fields and scale
- `naming.py`       which names a definition gets, and what its conditions say
- `checks.py`       is the definition itself right? with `schema_checks.py` for its schemas
                    (`structural_checks.py`, `extension_checks.py`)
- `rules.py`        `x-kubernetes-validations`, over `workshop.api.cel`; `rule_costs.py` which are too dear
- `openapi.py`      the definition as an OpenAPI document shows it

Upstream: `staging/src/k8s.io/apiextensions-apiserver/pkg/{apiserver/schema,apiserver/validation,apis/apiextensions}`.
"""
