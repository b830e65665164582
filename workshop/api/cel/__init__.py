"""CEL, the Common Expression Language: rules of custom resources, admission policies, match conditions. Pure.

The language itself is Google's library (`cel-expr-python`, the C++ implementation), loaded by the first expression and
by nobody else: 6 ms and 8 MB. What Kubernetes adds is here.

Read in this order:
- `environment.py` names and types of variables; an expression, checked and ready to run; errors in upstream's words
- `types.py`       an OpenAPI schema as types for the checker, and values as CEL sees them
- `library.py`     Kubernetes' functions, one table: lists, regex, sets, and those of the files below
- `network.py` url, ip, cidr; `amounts.py` quantity, semver; `authorizer.py` may he?

A value that CEL does not know (a quantity, an address) is a map with one field, whose name tells what it is; only the
checker sees it as a type of its own. Limits: an expression may go round its macros 10,000 times in all (the library's
budget), in the place of upstream's cost units. Left out: comprehensions of two variables, sortBy, string(ip).
Upstream: `staging/src/k8s.io/apiserver/pkg/cel/{environment,library}`.
"""
