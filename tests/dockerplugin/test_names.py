"""Docker's names for claims. Docker volumes §4."""

import re

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from mooring.dockerplugin.errors import BadName, NamespaceNotAllowed, text
from mooring.dockerplugin.names import DockerName, Namespaces, claim_named, shown_name
from mooring.model.claim import Claim
from mooring.model.metadata import Metadata
from mooring.objects.kinds.common import is_subdomain

ALONE = Namespaces()
WITH_PROD = Namespaces(also=frozenset({"prod", "test"}))
LETTERS = "abcXYZ019_.-"
NAMES = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,254}", fullmatch=True)
SHORT_NAMES = st.text(LETTERS, min_size=1, max_size=6).filter(lambda name: name[0].isalnum())


def a_claim(name: str, namespace: str = "default", **annotations: str) -> Claim:
    return Claim(metadata=Metadata(name=name, namespace=namespace, annotations=annotations))


def made_for(name: DockerName) -> Claim:
    """The claim that a Create makes."""
    metadata = Metadata(name=name.claim, namespace=name.namespace, annotations=name.annotations)
    return Claim(metadata=metadata)


# Which claim


@pytest.mark.parametrize("name", ["data", "a", "0", "data-1", "my.data", "a" * 253, "f" * 64])
def test_a_subdomain_is_the_name_of_its_claim(name: str) -> None:
    found = claim_named(name, ALONE)
    assert (found.claim, found.key, found.annotations) == (name, f"default/{name}", {})


@pytest.mark.parametrize(
    ("name", "stem"),
    [
        ("project_data", "project-data"),
        ("Data", "data"),
        ("a..b", "a--b"),
        ("a.-b", "a--b"),
        ("a_.b", "a--b"),
        ("a.B", "a.b"),
        ("data_", "data"),
        ("data.", "data"),
        ("data-._", "data"),
        ("a" * 254, "a" * 240),
        ("A" + "b" * 239 + "c", "a" + "b" * 239),
        ("A" + "b" * 230 + "_" * 20, "a" + "b" * 230),
        ("A" + "b" * 238 + ".c", "a" + "b" * 238),
    ],
)
def test_another_name_is_made_one_and_told_apart_by_a_hash(name: str, stem: str) -> None:
    found = claim_named(name, ALONE)
    beginning, dash, digest = found.claim.rpartition("-")
    assert (beginning, dash) == (stem, "-")
    assert re.fullmatch("[0-9a-f]{8}", digest)
    assert found.annotations == {"mooring.dev/docker-name": name}


def test_the_hash_is_of_the_name_as_docker_says_it() -> None:
    # printf %s project_data | sha256sum
    assert claim_named("project_data", ALONE).claim == "project-data-2bbd0ed4"


@given(NAMES)
@example("a" * 254)
@example("A" + "." * 254)
@example("0" + "-." * 127)
def test_every_name_has_a_claim_that_kubernetes_takes(name: str) -> None:
    assert is_subdomain(claim_named(name, ALONE).claim)


@given(st.lists(SHORT_NAMES, unique=True, min_size=2))
def test_two_names_never_mean_one_claim_unless_one_imitates_the_other(names: list[str]) -> None:
    claims = {claim_named(name, ALONE).claim for name in names}
    assert len(claims) == len(names)


@given(NAMES, st.sampled_from(["", "prod/", "test/"]))
def test_the_claim_of_a_name_is_shown_by_that_name(name: str, prefix: str) -> None:
    found = claim_named(prefix + name, WITH_PROD)
    assert found.shown == prefix + name
    assert shown_name(made_for(found), WITH_PROD) == prefix + name
    assert claim_named(prefix + name, WITH_PROD) == found


def test_a_name_that_imitates_another_is_shown_as_that_other() -> None:
    taken = made_for(claim_named("project_data", ALONE))
    imitation = claim_named(taken.name, ALONE)
    assert imitation.key == taken.key
    assert shown_name(taken, ALONE) == "project_data" != imitation.shown


def test_a_claim_of_kubectl_that_a_name_would_become_stays_its_own() -> None:
    asked = claim_named("project_data", ALONE)
    assert shown_name(a_claim(asked.claim), ALONE) == asked.claim


@pytest.mark.parametrize("kept", ["", "Other", "../../etc", "prod/db", "x" * 300, "db\n"])
def test_an_annotation_that_does_not_lead_to_its_claim_is_not_shown(kept: str) -> None:
    claim = a_claim("db", **{"mooring.dev/docker-name": kept})
    assert shown_name(claim, WITH_PROD) == "db"


def test_an_annotation_may_say_the_namespace_as_well() -> None:
    made = claim_named("prod/My_Data", WITH_PROD)
    claim = a_claim(made.claim, "prod", **{"mooring.dev/docker-name": "prod/My_Data"})
    assert shown_name(claim, WITH_PROD) == "prod/My_Data"


@given(st.from_regex(r"[a-z0-9]([-a-z0-9]{0,20}[a-z0-9])?", fullmatch=True))
def test_every_claim_within_reach_has_a_name_that_leads_to_it(name: str) -> None:
    for namespace in ("default", "prod"):
        shown = shown_name(a_claim(name, namespace), WITH_PROD)
        assert shown is not None
        assert claim_named(shown, WITH_PROD).key == f"{namespace}/{name}"


# Namespaces


def test_a_name_may_say_a_namespace_that_is_allowed() -> None:
    found = claim_named("prod/My_Data", WITH_PROD)
    assert (found.namespace, found.bare) == ("prod", "My_Data")
    assert found.claim == claim_named("My_Data", ALONE).claim


@pytest.mark.parametrize("name", ["prod/data", "default/data", "Prod/data"])
def test_no_namespace_is_allowed_unless_it_is_said_to_be(name: str) -> None:
    with pytest.raises(NamespaceNotAllowed):
        claim_named(name, ALONE)


def test_a_namespace_that_is_not_allowed_is_named() -> None:
    with pytest.raises(NamespaceNotAllowed) as refused:
        claim_named("dev/data", WITH_PROD)
    assert text(refused.value) == (
        "NamespaceNotAllowed: volume dev/data is of namespace dev, which Docker may not reach; it "
        "may default, prod, test; leave the namespace out, or start Mooring with "
        "--docker-namespaces"
    )


def test_a_claim_has_one_name_even_if_its_own_namespace_is_allowed() -> None:
    namespaces = Namespaces(default="prod", also=frozenset({"prod"}))
    assert claim_named("data", namespaces).key == "prod/data"
    with pytest.raises(NamespaceNotAllowed, match="call it data"):
        claim_named("prod/data", namespaces)


def test_a_claim_out_of_reach_is_not_shown() -> None:
    assert shown_name(a_claim("data", "prod"), ALONE) is None
    assert shown_name(a_claim("data", "prod"), WITH_PROD) == "prod/data"


# What is no name

BAD_NAMES = (
    *("", ".", "..", "-a", "_a", ".a", "/", "/a", "a/", "a//b", "a/b/c", "../../etc", "a/../b"),
    *("/etc2", "a b", "a\n", "\n", "a\x00", "a\x00b", "ä", "数", "a:b", "a\\b", "a%2fb", "~", "$a"),
    *("a" * 256, "prod/" + "a" * 256, "a" * 300, "a" * 100_000, "\ud800", "prod/-a", "prod/.a"),
)


@pytest.mark.parametrize("name", BAD_NAMES, ids=lambda name: repr(name[:20]))
def test_what_docker_may_not_call_a_volume_is_refused(name: str) -> None:
    with pytest.raises(BadName) as refused:
        claim_named(name, WITH_PROD)
    told = text(refused.value)
    assert told.startswith("BadName: ")
    assert told.isprintable()
    assert len(told) < 300


@pytest.mark.parametrize("name", ["a" * 255, "A_.-", "0", "prod/" + "Z" * 255])
def test_all_else_is_allowed(name: str) -> None:
    assert claim_named(name, WITH_PROD).shown == name


@given(st.text(max_size=300))
def test_a_text_is_a_name_or_refused_and_never_else(name: str) -> None:
    try:
        found = claim_named(name, WITH_PROD)
    except (BadName, NamespaceNotAllowed):
        return
    assert re.fullmatch(r"([A-Za-z0-9_.-]+/)?[A-Za-z0-9_.-]+", name)
    assert is_subdomain(found.claim)


# Anonymous volumes


@pytest.mark.parametrize(
    ("name", "is_anonymous"),
    [
        ("0123456789abcdef" * 4, True),
        ("0123456789ABCDEF" * 4, False),
        ("0123456789abcdef" * 3, False),
        ("prod/" + "0123456789abcdef" * 4, False),
        ("g" * 64, False),
    ],
)
def test_docker_makes_names_of_64_hex_digits_for_volumes_without_one(
    name: str, is_anonymous: bool
) -> None:
    found = claim_named(name, WITH_PROD)
    assert found.is_anonymous is is_anonymous
    assert found.labels == ({"mooring.dev/anonymous": "true"} if is_anonymous else {})
