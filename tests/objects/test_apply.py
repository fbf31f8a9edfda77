"""Who owns which fields, after applies and updates in any order."""

import json
from typing import Any

import pytest

from mooring.errors import MooringError
from mooring.objects.apply import LAST_APPLIED, Application
from mooring.objects.errors import ApplyConflict, BadObject
from mooring.objects.kind import Doc, Kind
from mooring.objects.managed import Manager, Noting, manager_of
from mooring.objects.node import Node
from mooring.objects.patches import copied, merge_patched
from tests.objects.nodes import POD

KIND = Kind("", "v1", "Pod", "pods", "pod", namespaced=True, subresources={"status": None})  # type: ignore[dict-item]


class Thing:
    """An object that is applied and updated, one step of time per write."""

    def __init__(
        self, doc: Doc | None = None, *, kind: Kind = KIND, node: Node | None = POD
    ) -> None:
        self.doc, self.kind, self.node = doc, kind, node
        self.tick = 0

    def _now(self) -> str:
        self.tick += 1
        return f"2026-01-01T00:00:{self.tick:02d}Z"

    def apply(
        self, manager: str, *, force: bool = False, subresource: str = "", **config: Any
    ) -> None:
        whole = named(config, self.kind)
        who = Manager(manager, subresource)
        application = Application(self.kind, self.node, whole, who, force=force)
        if self.doc is None:
            doc = application.fresh()
            application.note(doc, None, self._now())
        else:
            doc = application.change(copied(self.doc))
            application.note(doc, copied(self.doc), self._now())
        self.doc = doc

    def create(self, manager: str, **config: Any) -> None:
        doc = named(config, self.kind)
        Noting(self.kind, self.node, Manager(manager))(doc, None, self._now())
        self.doc = doc

    def patch(self, manager: str, subresource: str = "", **patch: Any) -> None:
        assert self.doc is not None
        doc = merge_patched(self.doc, patch)
        Noting(self.kind, self.node, Manager(manager, subresource))(doc, self.doc, self._now())
        self.doc = doc

    def __getitem__(self, name: str) -> Any:
        assert self.doc is not None
        return self.doc[name]

    @property
    def entries(self) -> list[Doc]:
        found: list[Doc] = self["metadata"].get("managedFields", [])
        return found

    def owned(self, manager: str, operation: str = "Apply") -> Any:
        """The fields of one manager; None if it has no entry."""
        for entry in self.entries:
            if (entry["manager"], entry["operation"]) == (manager, operation):
                return entry["fieldsV1"]
        return None


def named(config: Doc, kind: Kind = KIND) -> Doc:
    metadata = {"name": "a", "namespace": "default", **config.pop("metadata", {})}
    head = {"kind": kind.kind, "apiVersion": kind.api_version, "metadata": metadata}
    return {**head, **copied(config)}


def labels(**these: str) -> Doc:
    return {"labels": these}


def container(name: str, **fields: Any) -> Doc:
    return {"name": name, **fields}


def test_an_applied_object_is_owned_as_far_as_it_was_named() -> None:
    thing = Thing()
    thing.apply("a", metadata=labels(x="1"), spec={"nodeName": "n", "containers": [container("c")]})
    assert thing.entries == [
        {
            "manager": "a",
            "operation": "Apply",
            "apiVersion": "v1",
            "time": "2026-01-01T00:00:01Z",
            "fieldsType": "FieldsV1",
            "fieldsV1": {
                "f:metadata": {"f:labels": {"f:x": {}}},
                "f:spec": {
                    "f:nodeName": {},
                    "f:containers": {'k:{"name":"c"}': {".": {}, "f:name": {}}},
                },
            },
        }
    ]


def test_a_created_object_is_owned_by_its_creator_without_its_status() -> None:
    thing = Thing()
    config = {"metadata": {**labels(x="1"), "uid": "u"}, "spec": {"nodeName": "n"}}
    thing.create("kubectl-create", **config, status={"phase": "Running"})
    assert thing.owned("kubectl-create", "Update") == {
        "f:metadata": {"f:labels": {".": {}, "f:x": {}}},
        "f:spec": {"f:nodeName": {}},
    }


def test_what_is_omitted_and_nobody_elses_goes() -> None:
    thing = Thing()
    thing.apply("a", metadata=labels(x="1", y="2"), spec={"nodeName": "n"})
    thing.apply("a", metadata=labels(x="1"))
    assert thing["metadata"]["labels"] == {"x": "1"}
    assert thing["spec"] == {}
    assert thing.owned("a") == {"f:metadata": {"f:labels": {"f:x": {}}}}


def test_what_another_applied_as_well_stays() -> None:
    thing = Thing()
    thing.apply("a", metadata=labels(x="1", y="2"))
    thing.apply("b", metadata=labels(x="1"))
    thing.apply("a", metadata={})
    assert thing["metadata"]["labels"] == {"x": "1"}
    assert thing.owned("a") is None
    assert thing.owned("b") == {"f:metadata": {"f:labels": {"f:x": {}}}}


def test_annotations_and_finalizers_that_nobody_owns_stay_when_the_map_is_dropped() -> None:
    thing = Thing()
    thing.apply("a", metadata={"annotations": {"mine": "1"}, "finalizers": ["x/mine"]})
    thing["metadata"]["annotations"]["controller"] = "yes"
    thing["metadata"]["finalizers"].append("x/protection")
    thing.apply("a", metadata={})
    assert thing["metadata"]["annotations"] == {"controller": "yes"}
    assert thing["metadata"]["finalizers"] == ["x/protection"]


def test_another_value_of_a_field_of_others_is_a_conflict() -> None:
    thing = Thing()
    thing.apply("a", metadata=labels(x="1"))
    with pytest.raises(ApplyConflict) as caught:
        thing.apply("b", metadata=labels(x="2"))
    message = 'Apply failed with 1 conflict: conflict with "a": .metadata.labels.x'
    assert str(caught.value) == message
    assert caught.value.causes == (
        (".metadata.labels.x", "FieldManagerConflict", 'conflict with "a"'),
    )
    assert thing["metadata"]["labels"] == {"x": "1"}


def test_conflicts_with_several_are_listed_by_who_owns_what() -> None:
    thing = Thing()
    thing.apply("a", metadata=labels(x="1", y="1"))
    thing.patch("kubectl", metadata=labels(z="1"))
    thing.patch("kubelet", "status", status={"phase": "Pending"})
    with pytest.raises(ApplyConflict) as caught:
        thing.apply("b", metadata=labels(x="2", y="2", z="2"))
    assert str(caught.value) == (
        'Apply failed with 3 conflicts: conflicts with "a":\n'
        "- .metadata.labels.x\n- .metadata.labels.y\n"
        'conflicts with "kubectl" using v1:\n- .metadata.labels.z'
    )
    with pytest.raises(ApplyConflict, match='"kubelet" with subresource "status" using v1'):
        thing.apply("b", subresource="status", status={"phase": "Running"})


def test_force_takes_conflicting_fields_over() -> None:
    thing = Thing()
    thing.apply("a", metadata=labels(x="1", y="1"))
    thing.apply("b", force=True, metadata=labels(x="2"))
    assert thing["metadata"]["labels"] == {"x": "2", "y": "1"}
    assert thing.owned("a") == {"f:metadata": {"f:labels": {"f:y": {}}}}
    assert thing.owned("b") == {"f:metadata": {"f:labels": {"f:x": {}}}}


def test_an_update_takes_what_it_changes_and_an_applier_that_insists_conflicts() -> None:
    thing = Thing()
    thing.apply("a", metadata=labels(x="1", y="1"))
    thing.patch("kubectl-edit", metadata=labels(x="2"))
    assert thing.owned("a") == {"f:metadata": {"f:labels": {"f:y": {}}}}
    assert thing.owned("kubectl-edit", "Update") == {"f:metadata": {"f:labels": {"f:x": {}}}}
    with pytest.raises(ApplyConflict, match='conflict with "kubectl-edit" using v1: '):
        thing.apply("a", metadata=labels(x="1", y="1"))


def test_what_an_update_removes_is_owned_by_nobody() -> None:
    thing = Thing()
    thing.create("a", metadata=labels(x="1"), spec={"nodeName": "n"})
    thing.patch("b", metadata={"labels": None})
    assert thing.owned("a", "Update") == {"f:spec": {"f:nodeName": {}}}
    assert thing.owned("b", "Update") is None


def test_an_apply_that_changes_nothing_keeps_its_time() -> None:
    thing = Thing()
    thing.apply("a", metadata=labels(x="1"))
    before = copied(thing.doc)
    thing.apply("a", metadata=labels(x="1"))
    assert thing.doc == before


def test_elements_of_keyed_lists_have_their_own_owners() -> None:
    thing = Thing()
    thing.apply("a", spec={"containers": [container("x", image="1"), container("y", image="1")]})
    thing.apply("b", spec={"containers": [container("z", image="1"), container("y", args=["q"])]})
    names = [one["name"] for one in thing["spec"]["containers"]]
    assert sorted(names) == ["x", "y", "z"]
    thing.apply("a", spec={"containers": [container("y", image="2")]})
    assert sorted(thing["spec"]["containers"], key=lambda one: one["name"]) == [
        {"name": "y", "image": "2", "args": ["q"]},
        {"name": "z", "image": "1"},
    ]


@pytest.mark.parametrize(
    ("old", "new", "merged"),
    [
        ("abc", "abc", "abc"),
        ("abc", "bxa", "bcxa"),
        ("abc", "dae", "dabce"),
        ("", "ab", "ab"),
        ("abc", "cab", "cab"),
        ("abc", "ca", "bca"),
    ],
)
def test_lists_are_merged_in_the_order_of_what_is_applied(old: str, new: str, merged: str) -> None:
    thing = Thing(named({"metadata": {"finalizers": [f"x/{letter}" for letter in old]}}))
    thing.apply("a", metadata={"finalizers": [f"x/{letter}" for letter in new]})
    assert thing["metadata"]["finalizers"] == [f"x/{letter}" for letter in merged]


def test_an_atomic_list_is_one_field() -> None:
    thing = Thing()
    thing.apply("a", spec={"tolerations": [{"key": "x"}]})
    assert thing.owned("a") == {"f:spec": {"f:tolerations": {}}}
    with pytest.raises(ApplyConflict, match=r": \.spec\.tolerations$"):
        thing.apply("b", spec={"tolerations": [{"key": "x"}, {"key": "y"}]})
    thing.apply("b", force=True, spec={"tolerations": [{"key": "y"}]})
    assert thing["spec"]["tolerations"] == [{"key": "y"}]
    assert thing.owned("a") is None


def test_a_port_without_a_protocol_is_the_one_of_tcp() -> None:
    thing = Thing()
    ports = [{"containerPort": 80}, {"containerPort": 80, "protocol": "UDP"}]
    thing.apply("a", spec={"containers": [container("c", ports=ports)]})
    steps = thing.owned("a")["f:spec"]["f:containers"]['k:{"name":"c"}']["f:ports"]
    assert list(steps) == [
        'k:{"containerPort":80,"protocol":"TCP"}',
        'k:{"containerPort":80,"protocol":"UDP"}',
    ]


@pytest.mark.parametrize(
    ("config", "what"),
    [
        ({"spec": {"containers": [{"image": "x"}]}}, "omits key field"),
        ({"spec": {"containers": [container("c"), container("c")]}}, "duplicate entries for keys"),
        ({"metadata": {"finalizers": ["x/a", "x/a"]}}, "duplicate entries for value"),
        ({"metadata": {"managedFields": [{}]}}, "metadata.managedFields must be nil"),
    ],
)
def test_what_cannot_be_applied_is_refused(config: Doc, what: str) -> None:
    with pytest.raises(BadObject, match=what):
        Thing().apply("a", **config)


def test_the_first_apply_finds_a_single_owner_of_all_that_nobody_noted() -> None:
    thing = Thing(named({"metadata": labels(x="1", y="1"), "spec": {"nodeName": "n"}}))
    with pytest.raises(ApplyConflict, match='conflict with "before-first-apply" using v1'):
        thing.apply("a", metadata=labels(x="2"))
    thing.apply("a", metadata=labels(x="1"))
    assert thing.owned("before-first-apply", "Update") == {
        "f:metadata": {"f:labels": {".": {}, "f:x": {}, "f:y": {}}},
        "f:spec": {"f:nodeName": {}},
    }
    assert thing.owned("a") == {"f:metadata": {"f:labels": {"f:x": {}}}}


def test_an_object_that_is_not_tracked_stays_so_until_it_is_applied() -> None:
    thing = Thing(named({}))
    thing.patch("b", metadata=labels(x="1"))
    assert thing.entries == []


def test_a_client_may_reset_managed_fields() -> None:
    thing = Thing()
    thing.create("a", spec={"nodeName": "n"})
    thing.patch("b", metadata={"managedFields": [{}]})
    assert thing.entries == []


@pytest.mark.parametrize("given", [None, [], "x", [1], [{"manager": "x"}], {"a": 1}])
def test_managed_fields_that_cannot_be_read_stay_as_they_are(given: Any) -> None:
    thing = Thing()
    thing.create("a", spec={"nodeName": "n"})
    before = copied(thing.entries)
    thing.patch("b", metadata={"managedFields": given})
    assert thing.entries == before


def test_a_client_may_hand_fields_to_another_manager() -> None:
    thing = Thing()
    thing.create("kubectl-client-side-apply", spec={"nodeName": "n"})
    entry = {**copied(thing.entries[0]), "manager": "kubectl", "operation": "Apply"}
    entry["fieldsV1"] = {"f:spec": {".": {}, "f:nodeName": {}}}
    thing.patch("kubectl", metadata={"managedFields": [entry]})
    assert thing.owned("kubectl-client-side-apply", "Update") is None
    thing.apply("kubectl", spec={})
    assert "nodeName" not in thing["spec"]


def test_the_status_has_owners_of_its_own() -> None:
    thing = Thing()
    thing.create("a", spec={"nodeName": "n"})
    thing.patch("kubelet", "status", status={"phase": "Running"}, spec={"nodeName": "other"})
    assert thing.entries[1]["subresource"] == "status"
    assert thing.owned("kubelet", "Update") == {"f:status": {"f:phase": {}}}
    thing.apply("b", status={"phase": "Failed"}, metadata=labels(x="1"))
    assert thing.owned("b") == {"f:metadata": {"f:labels": {"f:x": {}}}}


def test_the_oldest_of_many_updaters_are_merged() -> None:
    thing = Thing()
    thing.create("w0", metadata=labels(l0="1"))
    for number in range(1, 13):
        thing.patch(f"w{number}", metadata=labels(**{f"l{number}": "1"}))
    updaters = [entry["manager"] for entry in thing.entries]
    assert updaters == ["ancient-changes", *(f"w{number}" for number in range(4, 13))]
    ancient = thing.owned("ancient-changes", "Update")["f:metadata"]["f:labels"]
    assert ancient == {".": {}, "f:l0": {}, "f:l1": {}, "f:l2": {}, "f:l3": {}}


def client_side_applied(x: str, live: str) -> Thing:
    """As kubectl leaves it behind: the annotation says what it applied."""
    config = named({"metadata": labels(x=x)})
    annotation = {LAST_APPLIED: json.dumps(config)}
    thing = Thing()
    thing.create(
        "kubectl-client-side-apply", metadata={**labels(x=live), "annotations": annotation}
    )
    return thing


def test_kubectl_does_not_conflict_with_what_it_applied_on_its_side() -> None:
    thing = client_side_applied("1", live="1")
    thing.apply("kubectl", metadata=labels(x="2"))
    assert thing["metadata"]["labels"] == {"x": "2"}
    kept = json.loads(thing["metadata"]["annotations"][LAST_APPLIED])
    assert kept == named({"metadata": labels(x="2")})


@pytest.mark.parametrize(("manager", "live"), [("other", "1"), ("kubectl", "5")])
def test_others_and_what_others_changed_since_do_conflict(manager: str, live: str) -> None:
    thing = client_side_applied("1", live=live)
    with pytest.raises(MooringError, match="kubectl-client-side-apply"):
        thing.apply(manager, metadata=labels(x="2"))


@pytest.mark.parametrize(
    ("parameter", "agent", "name"),
    [
        ("me", "kubectl/v1.32", "me"),
        ("", "kubectl/v1.32 (linux/amd64)", "kubectl"),
        ("", "a\x00b/1", "ab"),
        ("", "", "unknown"),
        ("", "é" * 100, "é" * 64),
    ],
)
def test_a_writer_is_known_by_its_name_or_its_program(
    parameter: str, agent: str, name: str
) -> None:
    assert manager_of(parameter, agent) == name
