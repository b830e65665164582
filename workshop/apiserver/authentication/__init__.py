"""Authentication: who sends a request.

Read in this order:

- `chain.py`          the authenticators in order, anonymous at the end
- `x509.py`           client certificates: common name and organisations
- `jwt.py`            signing and checking JSON Web Tokens
- `serviceaccount.py` what a service-account token claims, and when it is believed
- `tokens.py`         the token file, bootstrap tokens
- `configuration.py` the file of --authentication-config; `oidc.py` tokens of others' issuers (`oidc_flags.py`)
- `webhook.py`        tokens that a webhook knows
- `files.py`          certificates and keys out of PEM files
- `impersonation.py`  acting as somebody else
- `reviews.py`        TokenReview, SelfSubjectReview: the same questions as an API
- `issuer.py`         TokenRequest: a new token for a pod; the issuer's OpenID documents

Left out: distributed claims, audit annotations.
Upstream: `staging/src/k8s.io/apiserver/pkg/authentication`, `pkg/serviceaccount`, `pkg/kubeapiserver/authenticator`.
"""
