"""kubectl, asked anew: what it makes of patches, amounts and selectors, Mooring makes of them.

KUBECTL_SEED=7 has other documents than these.
"""

import json
import os
from contextlib import suppress
from itertools import islice
from pathlib import Path
from typing import Any

import pytest

from mooring.model.quantity import QuantityError, parse_quantity
from mooring.objects.kind import Doc, Kind
from tests.api.kubectl_selectors import generated as generated_selectors
from tests.api.kubectl_selectors import selected
from tests.api.test_selectors import selected as chosen
from tests.model.kubectl_quantities import canonical, generated
from tests.objects.generated_merges import applies, cases
from tests.objects.kubectl_merges import CLIENT_KINDS, Newer, decoded, merged, patched
from tests.system.conftest import CURRENT, Space
from tests.system.kubectl_applies import applier, with_last_applied
from tests.system.test_kubectl import a_list, config, pod

pytestmark = pytest.mark.system

SEED = int(os.environ.get("KUBECTL_SEED", "2"))
MOST = 0.75  # of the cases: few may be left out, for fields that this kubectl does not know yet
FEW_AND_MANY = [pytest.param(10), pytest.param(400, marks=pytest.mark.slow)]
needs_kubectl = pytest.mark.skipif(not CURRENT, reason="no current kubectl")


@needs_kubectl
@pytest.mark.parametrize("count", FEW_AND_MANY)
def test_patches_of_generated_documents(count: int) -> None:
    compared = 0
    for case in islice(cases(CLIENT_KINDS, SEED), count):
        with suppress(Newer):
            compare(case.kind, case.doc, case.form, case.patch)
            compared += 1
    assert compared >= MOST * count


def compare(kind: Kind, doc: Doc, form: str, patch: Doc) -> None:
    """What kubectl makes of a patch is what Mooring makes of it."""
    result = merged(str(CURRENT), doc, form, patch)
    expected = result and decoded(kind, result)
    assert patched(kind, doc, form, patch) == expected, json.dumps([doc, patch])


@needs_kubectl
@pytest.mark.parametrize("count", FEW_AND_MANY)
def test_applies_by_the_schemas_that_mooring_tells(count: int, tmp_path: Path) -> None:
    """kubectl asks for the same by what is built into it, and it comes to what kubectl makes."""
    compared = 0
    with (
        applier(str(CURRENT), tmp_path / "a", schemas=True) as told,
        applier(str(CURRENT), tmp_path / "b", schemas=False) as built_in,
    ):
        for case in islice(applies(CLIENT_KINDS, SEED), count):
            with suppress(Newer):
                asked = built_in.asked(*case)
                assert told.asked(*case) == asked, json.dumps(case[1:])
                if asked is not None:
                    compare(case.kind, with_last_applied(case.live, case.last), *asked)
                    compared += 1
    assert compared >= MOST * count


@needs_kubectl
@pytest.mark.parametrize("count", [pytest.param(60), pytest.param(1500, marks=pytest.mark.slow)])
def test_amounts(count: int, tmp_path: Path) -> None:
    written = canonical(str(CURRENT), tmp_path, [*generated(SEED, count)])
    assert {text: canonical_or_none(text) for text in written} == written


def volume_of(name: str, size: str) -> Doc:
    spec = {"accessModes": ["ReadWriteOnce"], "capacity": {"storage": size}}
    metadata = {"name": name, "labels": {"sorted": name.rpartition("-")[0]}}
    source = {"hostPath": {"path": "/srv/none"}}
    named = {"apiVersion": "v1", "kind": "PersistentVolume", "metadata": metadata}
    return {**named, "spec": {**spec, **source}}


def canonical_or_none(text: str) -> str | None:
    try:
        return parse_quantity(text).canonical()
    except QuantityError:
        return None


@needs_kubectl
@pytest.mark.parametrize("count", [pytest.param(20), pytest.param(600, marks=pytest.mark.slow)])
def test_selectors(count: int, tmp_path: Path) -> None:
    with applier(str(CURRENT), tmp_path, schemas=False) as kubectl:
        for text in generated_selectors(SEED, count):
            assert chosen(text) == selected(str(CURRENT), tmp_path, kubectl.url, text), text


def test_amounts_are_sorted_by_kubectl_as_mooring_compares_them(kubectl: Space) -> None:
    if kubectl.is_old:
        pytest.skip("kubectl 1.20 sorts amounts as texts")
    wanted = {}  # by what is kept of an amount
    for number, text in enumerate(islice(generated(SEED, 10_000), 60)):
        amount = parse_quantity(canonical_or_none(text) or "0").rounded_to_milli()
        if amount > parse_quantity("0"):
            wanted[amount] = (f"{kubectl.name}-{number}", text)
    volumes = [volume_of(*one) for one in wanted.values()]
    kubectl("create", "-f", "-", stdin=a_list(*volumes))
    chosen = ("-l", f"sorted={kubectl.name}", "--sort-by=.spec.capacity.storage", "-o", "name")
    names = [
        name.removeprefix("persistentvolume/") for name in kubectl("get", "pv", *chosen).split()
    ]
    assert names == [wanted[amount][0] for amount in sorted(wanted)]


SERVERS = ("generation", "managedFields", "resourceVersion")  # of metadata
CHANGES = [
    ("label", "--overwrite", "tier=db", "size-", "app=web"),
    ("annotate", "--overwrite", "example.com/a=1", "example.com/b-"),
    ("patch", "--type=merge", "-p", '{"metadata":{"labels":{"size":null,"x":"1"}}}'),
    ("patch", "--type=json", "-p", '[{"op":"add","path":"/metadata/labels/x","value":"1"}]'),
    ("patch", "-p", '{"metadata":{"finalizers":["example.com/b"],"labels":{"size":null}}}'),
    (
        "patch",
        "-p",
        '{"metadata":{"$setElementOrder/finalizers":["example.com/b","example.com/a"]}}',
    ),
]
TO_PODS = [
    ("set", "image", "main=example.com/image:2"),
    ("patch", "-p", '{"spec":{"containers":[{"name":"main","image":"example.com/image:3"}]}}'),
    ("patch", "-p", '{"spec":{"tolerations":[{"key":"a","operator":"Exists"}]}}'),
]


def test_a_change_on_the_server_is_the_change_that_kubectl_makes_itself(
    kubectl: Space, tmp_path: Path
) -> None:
    metadata: Doc = {
        "labels": {"app": "db", "size": "small"},
        "annotations": {"example.com/b": "2"},
        "finalizers": ["example.com/a"],
    }
    docs = [config("one", **metadata), pod("one", nodeName="here")]
    docs[1]["metadata"] |= metadata
    kubectl("create", "-f", "-", stdin=a_list(*docs))
    file = tmp_path / "one.json"
    for which, changes in (("configmap/one", CHANGES), ("pod/one", TO_PODS)):
        for change in changes:
            file.write_text(kubectl("get", which, "-o", "json"))
            verb = change[:2] if change[0] == "set" else change[:1]
            rest = change[len(verb) :]
            local = kubectl(*verb, "--local", "-f", str(file), *rest, "-o", "json")
            kubectl(*verb, which, *rest)
            assert said(kubectl.get(which)) == said(json.loads(local)), change
        kubectl("patch", which, "--type=merge", "-p", '{"metadata":{"finalizers":null}}')


def said(doc: Doc) -> Doc:
    """Without what only a server writes, and without empty objects, which kubectl adds."""
    metadata = {k: v for k, v in doc["metadata"].items() if k not in SERVERS}
    whole: Doc = without_empty({**doc, "metadata": metadata})
    return whole


def without_empty(value: Any) -> Any:
    if isinstance(value, dict):
        return {k: without_empty(item) for k, item in value.items() if item != {}}
    return [without_empty(item) for item in value] if isinstance(value, list) else value
