"""What a changed view changes in the whole object."""

from typing import Any

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from mooring.model.claim import Claim
from mooring.model.metadata import ObjectReference, Part
from mooring.model.names import Phase
from mooring.model.pool import NamespaceUse, Pool
from mooring.model.volume import Volume
from mooring.objects import views
from mooring.objects.cache import Entry
from mooring.objects.views import view


def entry(doc: dict[str, Any]) -> Entry:
    return Entry("x", msgspec.json.encode(doc), 1)


def overlaid(doc: dict[str, Any], old: Part, new: Part) -> dict[str, Any]:
    changed: dict[str, Any] = msgspec.json.decode(
        views.overlaid(msgspec.json.encode(doc), old, new)
    )
    return changed


def volume_doc() -> dict[str, Any]:
    return {
        "metadata": {"name": "v", "annotations": {"kept": "yes"}, "managedFields": [{"a": 1}]},
        "spec": {"capacity": {"storage": "1Gi"}, "hostPath": {"path": "/x", "kind": "unknown"}},
        "status": {"phase": "Pending", "unknown": [1, 2]},
    }


def test_a_status_change_leaves_all_else_as_it_is() -> None:
    doc = volume_doc()
    old = view(Volume, entry(doc))
    new = old.in_phase(Phase.AVAILABLE, "2026-01-01T00:00:00Z")
    changed = overlaid(doc, old, new)
    status = {"phase": "Available", "lastPhaseTransitionTime": "2026-01-01T00:00:00Z"}
    assert changed == {**doc, "status": {**doc["status"], **status}}


def test_what_is_null_is_set_as_if_it_were_absent() -> None:
    doc = {"metadata": {"name": "v", "annotations": None}, "status": None}
    old = view(Volume, entry(doc))
    changed = overlaid(doc, old, old.annotated(a="b").in_phase(Phase.AVAILABLE, "now"))
    assert changed["metadata"] == {"name": "v", "annotations": {"a": "b"}}
    assert changed["status"] == {"phase": "Available", "lastPhaseTransitionTime": "now"}


def test_the_owners_of_fields_stay_the_last_of_the_metadata() -> None:
    doc = volume_doc()
    doc["metadata"].pop("annotations")
    old = view(Volume, entry(doc))
    changed = overlaid(doc, old, old.annotated(a="b"))
    assert list(changed["metadata"]) == ["name", "annotations", "managedFields"]
    assert list(changed) == list(doc)


def test_annotations_come_and_go_one_by_one() -> None:
    doc = volume_doc()
    old = view(Volume, entry(doc))
    added = overlaid(doc, old, old.annotated(more="too"))
    assert added["metadata"]["annotations"] == {"kept": "yes", "more": "too"}
    bare = overlaid(doc, old, old.without_annotations("kept"))
    assert not bare["metadata"].get("annotations")


def test_a_reference_comes_and_goes_whole() -> None:
    doc = volume_doc()
    old = view(Volume, entry(doc))
    new = old.with_spec(claim_ref=ObjectReference(namespace="a", name="b", uid="u"))
    taken = overlaid(doc, old, new)
    assert taken["spec"]["claimRef"] == {"namespace": "a", "name": "b", "uid": "u"}
    old = view(Volume, entry(taken))
    assert "claimRef" not in overlaid(taken, old, old.with_spec(claim_ref=None))["spec"]


def test_the_account_of_a_namespace_is_changed_beside_the_others() -> None:
    doc = {
        "metadata": {"name": "p"},
        "status": {"namespaces": {"a": {"allocated": "1Gi", "volumes": 1, "note": "x"}}},
    }
    old = view(Pool, entry(doc))
    both = {**old.status.namespaces, "b": NamespaceUse(allocated="2Gi", volumes=1)}
    both["a"] = NamespaceUse(allocated="3Gi", volumes=2)
    new = msgspec.structs.replace(old, status=msgspec.structs.replace(old.status, namespaces=both))
    assert overlaid(doc, old, new)["status"]["namespaces"] == {
        "a": {"allocated": "3Gi", "volumes": 2, "note": "x"},
        "b": {"allocated": "2Gi", "volumes": 1},
    }


@given(
    st.dictionaries(st.sampled_from("abc"), st.text(max_size=3), max_size=3),
    st.dictionaries(st.sampled_from("abc"), st.text(max_size=3), max_size=3),
    st.sampled_from(["Pending", "Bound", "Lost", ""]),
)
def test_the_view_of_what_comes_out_is_the_view_that_went_in(
    before: dict[str, str], after: dict[str, str], phase: str
) -> None:
    doc = {"metadata": {"name": "c", "annotations": before}, "spec": {"volumeName": "v"}}
    old = view(Claim, entry(doc))
    metadata = msgspec.structs.replace(old.metadata, annotations=after)
    new = msgspec.structs.replace(old, metadata=metadata).with_status(phase=phase)
    changed = overlaid(doc, old, new)
    assert view(Claim, entry(changed)) == new


def test_the_view_of_a_large_object_does_not_stay() -> None:
    small, large = (
        entry({"metadata": {"name": "c", "annotations": {"a": "x" * size}}})
        for size in (10, views.SEEN_BYTES)
    )
    assert [view(Claim, one).name for one in (small, large)] == ["c", "c"]
    assert [one.seen is None for one in (small, large)] == [False, True]
