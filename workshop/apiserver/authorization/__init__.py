"""Authorization: may he?

Read in this order:

- `modes.py`      the chain of authorizers, `system:masters`, the sentence of a refusal
- `rules.py`      what one RBAC rule allows; whether rules cover rules
- `rbac.py`       roles and bindings, indexed by subject
- `escalation.py` nobody hands out rights that he does not hold
- `graph.py`      which node may see which object, as a graph of references
- `node.py`       the Node authorizer
- `configuration.py` the file of --authorization-config; `webhook.py` somebody else is asked (`conditions.py`: when)
- `reviews.py`    SubjectAccessReview and its like: the same questions as an API (`selectors.py`: of whom)

Left out: ABAC.
Upstream: `staging/src/k8s.io/apiserver/pkg/authorization`, `plugin/pkg/auth/authorizer`, `pkg/registry/rbac`.
"""
