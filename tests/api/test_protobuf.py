"""Bodies in protobuf are read as their JSON, and nothing in them does harm."""

import json
from base64 import b64decode
from pathlib import Path
from typing import Any

import pytest

from mooring.api.protobuf import decoded

# What kubectl 1.32 sent, by command; `auth` asked about the namespace default.
SENT: dict[str, str] = json.loads((Path(__file__).parent / "data/kubectl-1.32.json").read_text())
READ = {
    "create namespace": (
        {"kind": "Namespace", "apiVersion": "v1"},
        {"name": "team", "creationTimestamp": None},
        {"spec": {}, "status": {}},
    ),
    "create configmap": (
        {"kind": "ConfigMap", "apiVersion": "v1"},
        {"name": "settings", "creationTimestamp": None},
        {"data": {"a": "1", "empty": ""}, "binaryData": {"bin": "AP8="}},
    ),
    "create secret": (
        {"kind": "Secret", "apiVersion": "v1"},
        {"name": "keys", "creationTimestamp": None},
        {"data": {"empty": "", "password": "aHVudGVyMg=="}},
    ),
    "auth can-i create": (
        {"kind": "SelfSubjectAccessReview", "apiVersion": "authorization.k8s.io/v1"},
        {"creationTimestamp": None},
        {
            "spec": {
                "resourceAttributes": {
                    "namespace": "default",
                    "verb": "create",
                    "resource": "pods",
                }
            },
            "status": {"allowed": False},
        },
    ),
    "auth can-i --list": (
        {"kind": "SelfSubjectRulesReview", "apiVersion": "authorization.k8s.io/v1"},
        {"creationTimestamp": None},
        {"spec": {"namespace": "default"}, "status": {"incomplete": False}},
    ),
    "auth whoami": (
        {"kind": "SelfSubjectReview", "apiVersion": "authentication.k8s.io/v1"},
        {"creationTimestamp": None},
        {"status": {"userInfo": {}}},
    ),
}


@pytest.mark.parametrize("command", READ)
def test_what_kubectl_sends_is_read_as_the_json_it_could_have_sent(command: str) -> None:
    (body,) = (b64decode(sent) for words, sent in SENT.items() if words.startswith(command))
    head, metadata, rest = READ[command]
    expected: dict[str, Any] = {**head, "metadata": metadata, **rest}
    assert decoded(body, expected["apiVersion"], expected["kind"]) == expected
