"""CEL, the Common Expression Language: rules of custom resources, admission policies, match conditions. Pure.

Google's library (`cel-expr-python`, the C++ implementation) parses and checks; the first expression loads it, nobody
else pays: 6 ms and 8 MB. What runs is our own, because every step has its price.

Read in this order:
- `environment.py` names and types of variables; an expression, checked and ready to run; `complaints.py` the words
- `policies.py`    the variables of policies and webhooks; `devices.py` those of who chooses devices;
  `typecheck.py` what is wrong with a policy once the kinds that it is about are known
- `syntax.py`      the tree; `twofold.py` macros of two variables and `sortBy`, `numbers.py` comparisons like `1 < 1.5`,
  said so that the checker knows them
- `evaluate.py`    the tree as a function, made of `steps.py`, in a frame of `frames.py`; `costs.py` what a call costs,
  `quick.py` how much several may cost together
- `values.py`      the kinds of values; `standard.py` CEL's own functions
- `estimate.py`    what an expression costs at worst, in `ranges.py`; `estimate_functions.py` what a call does
- `lengths.py`     how long a schema's values can be
- `types.py`       an OpenAPI schema as types for the checker, and values as CEL sees them
- `library.py`     Kubernetes' functions, one table: lists, regex, sets, and those of the files below
- `network.py` url, ip, cidr; `amounts.py` quantity, semver; `authorizer.py` may he?; `texts.py`
- `literals.py`    what is written out and cannot be right; `mutations.py` what a mutation makes

A value that CEL does not know (a quantity, an address) is a map with one field, whose name tells what it is; only the
checker sees it as a type of its own. Times are exact to the microsecond, not to the nanosecond;
expressions may be nested 32 deep (upstream: 250), which is the library's limit.
Upstream: `staging/src/k8s.io/apiserver/pkg/cel/{environment,library}`.
"""
