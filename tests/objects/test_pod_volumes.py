"""Claims of a pod's own, as its volumes ask for them. Semantics §19, §1.2."""

from typing import Any

import pytest

from mooring.objects.admission import admitted_create
from mooring.objects.errors import Invalid
from mooring.objects.kind import Doc
from mooring.objects.kinds import core
from tests.objects.test_csi_rules import Nothing

AT = "spec.volumes[0].ephemeral.volumeClaimTemplate"


def a_pod(template: Any, *, name: str = "p") -> Doc:
    volume = {"name": "own", "ephemeral": {"volumeClaimTemplate": template}}
    spec = {"containers": [{"name": "c", "image": "i"}], "volumes": [volume]}
    return {"metadata": {"name": name, "namespace": "default"}, "spec": spec}


def a_template(size: str = "1Gi", **metadata: Any) -> Doc:
    requests = {"requests": {"storage": size}}
    return {
        "metadata": metadata,
        "spec": {"accessModes": ["ReadWriteOnce"], "resources": requests},
    }


def made(doc: Doc) -> Doc:
    return admitted_create(core.POD, doc, Nothing(), "2026-01-01T00:00:00Z")


def refused(doc: Doc) -> list[str]:
    with pytest.raises(Invalid) as error:
        made(doc)
    return [cause.field for cause in error.value.causes]


def test_a_template_gets_the_defaults_of_a_claim() -> None:
    found = made(a_pod(a_template("1024Mi")))["spec"]["volumes"][0]["ephemeral"]
    spec = found["volumeClaimTemplate"]["spec"]
    assert (spec["volumeMode"], spec["resources"]["requests"]["storage"]) == ("Filesystem", "1Gi")


@pytest.mark.rule("19.3")
def test_metadata_of_a_template_may_hold_labels_and_annotations_alone() -> None:
    assert made(a_pod(a_template(labels={"a": "b"}, annotations={"c": "d"})))
    assert made(a_pod(a_template(creationTimestamp=None)))
    assert refused(a_pod(a_template(name="x", finalizers=["a/b"]))) == [
        f"{AT}.metadata.name",
        f"{AT}.metadata.finalizers",
    ]


def test_a_template_is_held_to_the_rules_of_claims() -> None:
    bad = a_template("0")
    bad["spec"]["accessModes"] = []
    assert refused(a_pod(bad)) == [
        f"{AT}.spec.accessModes",
        f"{AT}.spec.resources[storage]",
    ]
    assert refused(a_pod(None)) == [AT]


def test_the_name_of_the_claim_must_be_one() -> None:
    assert refused(a_pod(a_template(), name="p" * 252)) == ["spec.volumes[0].name"]
