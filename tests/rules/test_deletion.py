"""What `mooring explain pv` and `--delete` say. Storage semantics §5, §9, §13."""

import pytest

from mooring.model.claim import Claim
from mooring.model.names import (
    BIND_COMPLETED,
    EXTERNAL_PROVISIONER_FINALIZER,
    POOL_ATTRIBUTE,
    PROVISIONED_BY,
    PV_PROTECTION,
    Phase,
)
from mooring.model.pod import Pod
from mooring.model.volume import CSISource, HostPathSource, LocalSource, Volume
from mooring.rules.deletion import deletion_of_claim, deletion_of_volume
from mooring.rules.volume_explanation import explained_volume
from tests.rules.making import a_claim, a_volume, pointer
from tests.rules.test_explanation import a_pod, a_pool

DRIVER = "directory.mooring.dev"
CLAIM = a_claim(volume="v1", annotations={BIND_COMPLETED: "yes"}, phase=Phase.BOUND)


def at(path: str, policy: str = "Retain", *, phase: str = Phase.BOUND) -> Volume:
    """A volume of CLAIM in a directory of a host."""
    volume = a_volume(claim=pointer(CLAIM), policy=policy, phase=phase)
    return volume.with_spec(host_path=HostPathSource(path=path))


def carved(policy: str = "Delete", *, phase: str = Phase.BOUND, deleted: bool = False) -> Volume:
    """A volume of CLAIM made in pool local."""
    volume = a_volume(
        claim=pointer(CLAIM),
        policy=policy,
        phase=phase,
        deleted=deleted,
        annotations={PROVISIONED_BY: DRIVER},
    )
    csi = CSISource(
        driver=DRIVER, volume_handle="pvc-1", volume_attributes={POOL_ATTRIBUTE: "local"}
    )
    return volume.with_spec(csi=csi).with_finalizer(EXTERNAL_PROVISIONER_FINALIZER)


# Volumes


@pytest.mark.parametrize(
    ("volume", "claim", "why", "help_"),
    [
        (a_volume(), None, "it is free", 'a claim of class "", RWO or fewer, at most 1Gi'),
        (
            a_volume(claim=pointer()),
            None,
            "it is reserved for claim default/db, which does not exist",
            "create claim db in namespace default",
        ),
        (
            a_volume(claim=pointer()),
            a_claim(size="2Gi"),
            "it is reserved for claim default/db, for which it is 1Gi too small",
            "a claim that it fits",
        ),
        (
            a_volume(claim=pointer()),
            a_claim(volume="v2"),
            "it is reserved for claim default/db, which names volume v2",
            "kubectl patch pv v1",
        ),
        (
            a_volume(claim=pointer()),
            a_claim(class_="slow"),
            "it is reserved for claim default/db, and is about to be bound to it",
            "",
        ),
        (at("/srv/v"), CLAIM, "claim default/db has it", ""),
        (
            at("/srv/v", phase=Phase.RELEASED),
            None,
            "its claim default/db is gone",
            'kubectl patch pv v1 --type merge -p \'{"spec":{"claimRef":null}}\'',
        ),
        (
            carved(phase=Phase.RELEASED),
            a_claim(uid="another"),
            "its claim default/db is gone",
            "",
        ),
    ],
)
def test_why_a_volume_is_as_it_is(
    volume: Volume, claim: Claim | None, why: str, help_: str
) -> None:
    found = explained_volume(volume, claim, [a_pool()])
    assert (found.state, found.why) == (volume.phase, why)
    assert help_ in found.help if help_ else found.help == ""


def test_a_released_volume_of_a_pool_says_who_deletes_it() -> None:
    found = explained_volume(carved(phase=Phase.RELEASED), None, [a_pool()])
    assert found.details[-1] == "its policy is Delete: directory.mooring.dev deletes it"


def test_what_kept_its_data_from_being_deleted_is_told() -> None:
    found = explained_volume(carved(phase=Phase.RELEASED), None, [a_pool()], "it is in use")
    assert found.details[-1] == "it failed last with: it is in use"
    assert found.help.startswith("put that right, and it is deleted by itself; or keep it: ")


def test_a_released_volume_of_no_pool_says_that_nobody_deletes_it() -> None:
    found = explained_volume(carved(phase=Phase.RELEASED), None, [])
    assert found.details[-1] == "pool local does not exist, so nobody deletes its data"
    assert "create pool local again" in found.help


def test_a_failed_volume_says_what_failed() -> None:
    volume = at("/srv/v", "Delete", phase=Phase.FAILED).with_status(message="no such plugin")
    found = explained_volume(volume, None, [])
    assert found.details[-1] == "no such plugin"
    assert "Retain" in found.help


def test_a_bound_volume_that_is_being_deleted_says_what_holds_it() -> None:
    found = explained_volume(carved(deleted=True), CLAIM, [])
    assert (found.state, found.why) == ("Terminating", "it stays until claim default/db is deleted")


# Deleting a claim


@pytest.mark.parametrize(
    ("volume", "lost", "what"),
    [
        (carved(), True, "directory.mooring.dev deletes it, with all data in it"),
        (carved("Retain"), False, "it stays, Released"),
        (at("/srv/v"), False, "it stays, Released"),
        (at("/srv/v", "Delete"), False, "which will fail: host_path deleter only supports"),
        (at("/tmp/v", "Delete"), True, "/tmp/v is removed, and so is the volume"),
        (at("/srv/pool/mine", "Recycle"), True, "/srv/pool/mine is emptied, and the volume"),
        (at("/etc", "Recycle"), False, "which will fail: only hostPaths below the root of a Pool"),
        (at("/srv/v", "Burn"), False, "which will fail: Volume has unrecognized"),
        (
            a_volume(claim=pointer(CLAIM), policy="Delete", phase=Phase.BOUND).with_spec(
                local=LocalSource(path="/mnt/disk")
            ),
            False,
            "which will fail: no deletable volume plugin matched",
        ),
    ],
)
def test_deleting_a_claim_says_what_becomes_of_its_data(
    volume: Volume, lost: bool, what: str
) -> None:
    found = deletion_of_claim(CLAIM, volume, [], [a_pool()])
    assert found.state == "possible"
    assert found.why == f"the data of volume v1 is {'LOST' if lost else 'kept'}"
    assert what in found.details[0]
    assert ("Retain" in found.help) == lost


@pytest.mark.parametrize(
    ("pod", "state", "what"),
    [
        (a_pod("web", node="here", phase="Running"), "put off", "until its user is gone"),
        (a_pod("web", node="here", phase="Succeeded"), "put off", "until its user is gone"),
        (a_pod("web"), "possible", "would wait in vain: default/web"),
    ],
)
def test_deleting_a_claim_says_who_uses_it(pod: Pod, state: str, what: str) -> None:
    found = deletion_of_claim(CLAIM, carved(), [pod], [a_pool()])
    assert found.state == state
    assert any(what in detail for detail in found.details)


def test_deleting_a_claim_says_which_finalizers_hold_it() -> None:
    found = deletion_of_claim(CLAIM.with_finalizer("example.com/mine"), carved(), [], [])
    assert found.state == "put off"
    assert "example.com/mine" in found.details[1]


def test_a_volume_that_is_only_reserved_is_not_at_stake() -> None:
    reserved = carved(phase=Phase.AVAILABLE).with_spec(claim_ref=pointer("db"))
    assert "no data is lost" in deletion_of_claim(CLAIM, reserved, [], [a_pool()]).why


def test_a_mounted_claim_says_where_and_what_that_means_for_its_data() -> None:
    lost = deletion_of_claim(CLAIM, carved(), [], [a_pool()], "/srv/m")
    assert lost.details[-1].startswith("it is mounted at /srv/m, and its data goes once no process")
    kept = deletion_of_claim(CLAIM, carved(policy="Retain"), [], [a_pool()], "/srv/m")
    assert kept.details[-1] == "it is mounted at /srv/m"


def test_deleting_a_claim_without_a_volume_loses_nothing() -> None:
    assert deletion_of_claim(a_claim(), None, [], []).why == "it has no volume, so no data is lost"


def test_a_volume_that_another_claim_has_is_not_at_stake() -> None:
    other = a_volume(claim=pointer("web", uid="u"))
    assert "no data is lost" in deletion_of_claim(CLAIM, other, [], []).why


# Deleting a volume


def test_deleting_a_bound_volume_is_put_off_and_tells_what_comes_then() -> None:
    found = deletion_of_volume(carved(), CLAIM, [a_pod("web", node="here")], [a_pool()])
    assert found.state == "put off"
    assert "until that claim is deleted" in found.why
    assert found.details[0].startswith("the data is then LOST, by policy Delete")
    assert found.details[1] == "in use by default/web"


def test_a_volume_that_goes_before_its_claim_keeps_its_data_without_the_finalizer() -> None:
    volume = carved().without_finalizer(EXTERNAL_PROVISIONER_FINALIZER)
    found = deletion_of_volume(volume, CLAIM, [], [a_pool()])
    assert "kept" in found.details[0]


def test_deleting_a_free_volume_leaves_its_data() -> None:
    volume = a_volume().with_finalizer(PV_PROTECTION)
    volume = volume.with_spec(host_path=HostPathSource(path="/srv/v"))
    found = deletion_of_volume(volume, None, [], [])
    assert (found.state, found.why) == (
        "possible",
        "only the object goes, its data stays (hostPath /srv/v)",
    )


def test_deleting_a_released_volume_of_a_pool_deletes_its_data() -> None:
    found = deletion_of_volume(carved(phase=Phase.RELEASED), None, [], [a_pool()])
    assert found.why.startswith("its data is LOST, by policy Delete: directory.mooring.dev deletes")
