"""Every verb of kubectl, one table: a row is a command line and what it says. In one namespace, from top to bottom.

What runs containers has its tests in `test_kubectl_containers.py`; that no verb is forgotten is tested too.
"""

from __future__ import annotations

import base64
import inspect
import re
import shlex
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from . import test_kubectl_containers, test_kubectl_objects
from .kubectl import Kubectl, eventually

pytestmark = pytest.mark.any_mode

#: Verbs that need containers, a terminal or a second process, and where they are judged.
ELSEWHERE = {
    **dict.fromkeys(("run", "logs", "attach", "exec", "port-forward", "cp", "debug"), test_kubectl_containers),
    "proxy": test_kubectl_objects,
}

#: A command, and what it prints; after `!` what it says when it fails. `{…}` are files that the test has written, or
#: names that belong to its namespace.
TABLE = r"""
version                                               | Server Version: v1.36
cluster-info                                          | is running at
api-versions                                          | apiregistration.k8s.io/v1
api-resources --api-group=apps --no-headers           | statefulsets sts apps/v1 true StatefulSet
explain configmap.data                                | FIELD: data <map[string]string>
explain nothing                                       | ! the server doesn't have a resource type "nothing"
explain pod.spec.nothing                              | ! field "nothing" does not exist
auth whoami -o jsonpath={.status.userInfo.groups}     | system:masters
auth can-i create pods                                | yes
auth can-i create pods --as=nobody                    | ! no
auth can-i --list                                     | [*]
auth reconcile -f {role}                              | role.rbac.authorization.k8s.io/reader reconciled
create configmap a --from-literal=k=v                 | configmap/a created
create configmap a                                    | ! configmaps "a" already exists
create secret generic s --from-literal=k=v            | secret/s created
create deployment web --image=x --replicas=0          | deployment.apps/web created
create job j --image=x --dry-run=server -o name       | job.batch/j
create cronjob c --image=x --schedule=@yearly         | cronjob.batch/c created
create cronjob d --image=x --schedule=bad               | ! expected exactly 5 fields, found 1: [bad]
create service clusterip svc --tcp=80                 | service/svc created
create ingress i --rule=a.b/*=svc:80                  | ingress.networking.k8s.io/i created
create quota q --hard=configmaps=20                   | resourcequota/q created
create poddisruptionbudget b --selector=a=b --min-available=1 | poddisruptionbudget.policy/b created
create serviceaccount sa                              | serviceaccount/sa created
create token sa --duration=10m                        | eyJ
create role r --verb=get --resource=pods              | role.rbac.authorization.k8s.io/r created
create rolebinding rb --role=r --serviceaccount={namespace}:sa | rolebinding.rbac.authorization.k8s.io/rb created
auth can-i get pods --as=system:serviceaccount:{namespace}:sa | yes
create priorityclass {namespace} --value=7            | priorityclass.scheduling.k8s.io/{namespace} created
create -f {csr}                                       | certificatesigningrequest.certificates.k8s.io/{namespace} created
get csr {namespace} --no-headers                      | Pending
certificate approve {namespace}                       | certificatesigningrequest.certificates.k8s.io/{namespace} approved
certificate deny {namespace}                          | ! is already Approved
get configmap a -o jsonpath={.data.k}                 | v
get configmap a -o go-template={{.data.k}}            | v
get configmap a -o custom-columns=N:.metadata.name --no-headers | a
get all,configmaps,roles -o name                      | role.rbac.authorization.k8s.io/r
get nothing                                           | ! the server doesn't have a resource type "nothing"
get configmap none                                    | ! configmaps "none" not found
get --raw /api/v1/namespaces/{namespace}/configmaps/a | "data":{"k":"v"}
describe configmap a                                  | k:\n----\nv
describe deployment web                               | 0 desired | 0 updated | 0 total
label configmap a tier=back                           | configmap/a labeled
label configmap a tier=front                          | ! 'tier' already has a value (back), and --overwrite is false
annotate configmap a note=1                           | configmap/a annotated
apply -f {map}                                        | configmap/settings created
apply view-last-applied configmap/settings            | color: blue
apply -f {map} --server-side --field-manager=other --force-conflicts | configmap/settings serverside-applied
apply -k {folder}                                     | configmap/settings configured
kustomize {folder}                                    | team: blue
diff -f {other}                                       | ! +  color: green
replace -f {other}                                    | configmap/settings replaced
patch configmap settings -p {"data":{"x":"y"}}        | configmap/settings patched
patch configmap settings -p {"data":7}                | ! The request is invalid: patch: Invalid value
edit configmap settings                               | configmap/settings edited
get configmap settings -o jsonpath={.data.color}      | yellow
set image deployment/web x=y                          | deployment.apps/web image updated
set image deployment/web none=y                        | ! unable to find container named "none"
set env deployment/web A=b                            | deployment.apps/web env updated
set resources deployment/web --limits=cpu=1           | deployment.apps/web resource requirements updated
set serviceaccount deployment/web sa                  | deployment.apps/web serviceaccount updated
set selector service/svc app=web                      | service/svc selector updated
rollout status deployment/web                         | successfully rolled out
rollout history deployment/web                        | REVISION  CHANGE-CAUSE
rollout history deployment/web --revision=99          | ! unable to find the specified revision
rollout undo deployment/web --to-revision=99          | ! unable to find specified revision 99 in history
rollout pause deployment/web                          | deployment.apps/web paused
rollout pause deployment/web                          | ! deployments.apps "web" is already paused
rollout undo deployment/web                           | ! you cannot rollback a paused deployment
rollout restart deployment/web                        | ! can't restart paused deployment
rollout resume deployment/web                         | deployment.apps/web resumed
rollout restart deployment/web                        | deployment.apps/web restarted
rollout undo deployment/web                           | deployment.apps/web rolled back
scale deployment/web --replicas=0 --current-replicas=0 | deployment.apps/web scaled
scale deployment/web --replicas=1 --current-replicas=5 | ! Expected replicas to be 5, was 0
autoscale deployment/web --max=3                      | horizontalpodautoscaler.autoscaling/web autoscaled
expose deployment web --port=80 --name=front          | service/front exposed
wait deployment/web --for=jsonpath={.spec.replicas}=0 | deployment.apps/web condition met
wait configmap/none --for=create --timeout=1s         | ! timed out waiting for the condition
exec none -- ls                                       | ! pods "none" not found
debug node/none --image=x                             | ! nodes "none" not found
drain none                                            | ! nodes "none" not found
delete configmap a --dry-run=server                   | (server dry run)
events --types=Normal --for=deployment/none           | ! No events found
top nodes                                             | ! Metrics API not available
cordon -l none=none                                   |
uncordon -l none=none                                 |
drain -l none=none                                    |
taint nodes -l none=none a=b:NoSchedule               |
config view --minify                                  | kind: Config
plugin list                                           | ! unable to find any kubectl plugins in your PATH
completion bash                                       | # bash completion
delete configmap,secret --all                         | configmap "settings" deleted
delete deployment web --cascade=orphan                | deployment.apps "web" deleted
delete deployment web --ignore-not-found              |
delete csr/{namespace} priorityclass/{namespace}      | deleted
"""
ROLE = """
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata: {name: reader, namespace: NAMESPACE}
rules: [{apiGroups: [""], resources: [pods], verbs: [list]}]
"""
MAP = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: settings}\ndata: {color: blue}\n"


def rows() -> list[tuple[str, str]]:
    """(command, what it says)."""
    return [(command.strip(), said.strip()) for command, _, said in (r.partition(" | ") for r in _lines())]


def _lines() -> list[str]:
    return [line if " | " in line else line.rstrip().removesuffix("|") for line in TABLE.strip().splitlines()]


def files(folder: Path, namespace: str) -> dict[str, str]:
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "jane")])
    request = x509.CertificateSigningRequestBuilder().subject_name(subject).sign(key, hashes.SHA256())
    pem = base64.b64encode(request.public_bytes(serialization.Encoding.PEM)).decode()
    texts = {
        "role": ROLE.replace("NAMESPACE", namespace),
        "map": MAP,
        "other": MAP.replace("blue", "green"),
        "csr": "apiVersion: certificates.k8s.io/v1\nkind: CertificateSigningRequest\n"
        f"metadata: {{name: {namespace}}}\n"
        f"spec: {{request: {pem}, signerName: kubernetes.io/kube-apiserver-client, usages: [client auth]}}\n",
    }
    for name, text in texts.items():
        (folder / f"{name}.yaml").write_text(text)
    inner = folder / "inner"
    inner.mkdir()
    (inner / "map.yaml").write_text(MAP)
    (inner / "kustomization.yaml").write_text("resources: [map.yaml]\ncommonAnnotations: {team: blue}\n")
    return {name: str(folder / f"{name}.yaml") for name in texts} | {"folder": str(inner), "namespace": namespace}


def test_the_table(k: Kubectl, tmp_path: Path) -> None:
    known = files(tmp_path, k.namespace)
    environment = {"KUBE_EDITOR": "sed -i s/green/yellow/", "PATH": f"{tmp_path}:/usr/bin:/bin"}

    def filled(text: str) -> str:
        return re.sub(r"\{(\w+)\}", lambda match: known.get(match[1], match[0]), text)

    for command, said in rows():
        line = filled(command)
        words = shlex.split(line.replace('"', '\\"') if '{"' in line else line)
        wanted, fails = filled(said.removeprefix("!").strip()).replace("\\n", "\n"), said.startswith("!")
        told = judged(k, words, wanted, fails, environment)
        assert not told, f"kubectl {command}\n  wanted: {said}\n  said: {told}"


def judged(k: Kubectl, words: list[str], wanted: str, fails: bool, environment: dict[str, str]) -> str:
    """What was said instead, "" if all is well. What informers and quotas have not heard of yet, they hear of soon."""
    told = ""

    def agrees() -> bool:
        nonlocal told
        done = k.run(*words, env=environment)
        told = f"{done.code}: {done.out}{done.err}"
        failed = done.code != 0 or words[0] == "events"  # which finds nothing, and is content
        return failed == fails and _squeezed(wanted) in _squeezed(told)

    try:
        eventually(agrees)
    except AssertionError:
        return told
    return ""


def _squeezed(text: str) -> str:
    """Columns are as wide as they like."""
    return re.sub(r"[ \t]+", " ", text)


def test_no_verb_is_forgotten(k: Kubectl) -> None:
    """Of those that `kubectl help` names, but the ones that are about kubectl alone."""
    verbs = set(re.findall(r"^  ([a-z-]+)  +[A-Z]", k("--help"), re.MULTILINE)) - {"kuberc", "alpha"}
    judged = {command.split()[0] for command, _ in rows()}
    for verb, module in ELSEWHERE.items():
        assert f'"{verb}"' in inspect.getsource(module), f"{verb} is judged nowhere"
    assert verbs - judged - set(ELSEWHERE) == set()
    assert len(verbs) > 35
