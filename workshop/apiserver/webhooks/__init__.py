"""How the API server asks others: conversion webhooks, admission webhooks, and the servers behind APIServices.

- `addresses.py`  where a Service is, and where nobody may send us
- `client.py`     one question and its answer, bounded in time and size; `remote.py` to whom a kubeconfig names

Upstream: `staging/src/k8s.io/apiserver/pkg/util/{webhook,proxy}`.
"""
