"""Keys that others read and write are spelled as Kubernetes spells them. Storage semantics §2."""

import pytest

from mooring.model import names
from tests.spec.plugin import case


@pytest.mark.parametrize(
    ("key", "text"),
    [
        case("2.1", names.BIND_COMPLETED, "pv.kubernetes.io/bind-completed"),
        case("2.2", names.BOUND_BY_CONTROLLER, "pv.kubernetes.io/bound-by-controller"),
        case("2.3", names.PROVISIONED_BY, "pv.kubernetes.io/provisioned-by"),
        case("2.4", names.MIGRATED_TO, "pv.kubernetes.io/migrated-to"),
        case("2.5", names.STORAGE_PROVISIONER, "volume.kubernetes.io/storage-provisioner"),
        case(
            "2.5", names.STORAGE_PROVISIONER_BETA, "volume.beta.kubernetes.io/storage-provisioner"
        ),
        case("2.7", names.SELECTED_NODE, "volume.kubernetes.io/selected-node"),
        case("2.8 14.9a", names.STORAGE_RESIZER, "volume.kubernetes.io/storage-resizer"),
        case("2.9", names.PRE_RESIZE_CAPACITY, "volume.alpha.kubernetes.io/pre-resize-capacity"),
        case("2.11", names.STORAGE_CLASS_BETA, "volume.beta.kubernetes.io/storage-class"),
        case("2.12", names.DEFAULT_CLASS, "storageclass.kubernetes.io/is-default-class"),
        case("2.12", names.DEFAULT_CLASS_BETA, "storageclass.beta.kubernetes.io/is-default-class"),
        case(
            "2.13", names.DEFAULT_SNAPSHOT_CLASS, "snapshot.storage.kubernetes.io/is-default-class"
        ),
        case(
            "18.20",
            names.ALLOW_MODE_CHANGE,
            "snapshot.storage.kubernetes.io/allow-volume-mode-change",
        ),
        case("1.1.33", names.MOUNT_OPTIONS, "volume.beta.kubernetes.io/mount-options"),
        case("13.1", names.PVC_PROTECTION, "kubernetes.io/pvc-protection"),
        case("13.8", names.PV_PROTECTION, "kubernetes.io/pv-protection"),
        case(
            "2.14 13.11",
            names.EXTERNAL_PROVISIONER_FINALIZER,
            "external-provisioner.volume.kubernetes.io/finalizer",
        ),
        case("2.15 13.13", names.PV_CONTROLLER_FINALIZER, "kubernetes.io/pv-controller"),
        case(
            "2.16 18.16",
            names.CLONING_PROTECTION,
            "provisioner.storage.kubernetes.io/cloning-protection",
        ),
        case("2.17", names.VAC_PROTECTION, "kubernetes.io/vac-protection"),
        case(
            "18.35",
            names.SNAPSHOT_BOUND,
            "snapshot.storage.kubernetes.io/volumesnapshot-bound-protection",
        ),
        case(
            "18.35",
            names.SNAPSHOT_AS_SOURCE,
            "snapshot.storage.kubernetes.io/volumesnapshot-as-source-protection",
        ),
        case(
            "18.36",
            names.CONTENT_BOUND,
            "snapshot.storage.kubernetes.io/volumesnapshotcontent-bound-protection",
        ),
        case(
            "18.37",
            names.CLAIM_AS_SOURCE,
            "snapshot.storage.kubernetes.io/pvc-as-source-protection",
        ),
    ],
)
def test_a_key_is_spelled_as_in_kubernetes(key: str, text: str) -> None:
    assert key == text
