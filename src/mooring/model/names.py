"""Keys and names that are part of the API surface: annotations, finalizers, labels, drivers."""

from enum import StrEnum
from typing import Final

# Annotations, storage semantics §2.
BIND_COMPLETED: Final = "pv.kubernetes.io/bind-completed"
BOUND_BY_CONTROLLER: Final = "pv.kubernetes.io/bound-by-controller"
PROVISIONED_BY: Final = "pv.kubernetes.io/provisioned-by"
MIGRATED_TO: Final = "pv.kubernetes.io/migrated-to"
STORAGE_PROVISIONER: Final = "volume.kubernetes.io/storage-provisioner"
STORAGE_PROVISIONER_BETA: Final = "volume.beta.kubernetes.io/storage-provisioner"
MAKER: Final = "mooring.dev/maker"  # the host that makes a volume several of them could make
SELECTED_NODE: Final = "volume.kubernetes.io/selected-node"
STORAGE_RESIZER: Final = "volume.kubernetes.io/storage-resizer"
PRE_RESIZE_CAPACITY: Final = "volume.alpha.kubernetes.io/pre-resize-capacity"
STORAGE_CLASS_BETA: Final = "volume.beta.kubernetes.io/storage-class"
DEFAULT_CLASS: Final = "storageclass.kubernetes.io/is-default-class"
DEFAULT_CLASS_BETA: Final = "storageclass.beta.kubernetes.io/is-default-class"
DEFAULT_SNAPSHOT_CLASS: Final = "snapshot.storage.kubernetes.io/is-default-class"
ALLOW_MODE_CHANGE: Final = "snapshot.storage.kubernetes.io/allow-volume-mode-change"
SNAPSHOT_GOING: Final = "snapshot.storage.kubernetes.io/volumesnapshot-being-deleted"
MOUNT_OPTIONS: Final = "volume.beta.kubernetes.io/mount-options"

# Finalizers, storage semantics §2 and §13.
PVC_PROTECTION: Final = "kubernetes.io/pvc-protection"
PV_PROTECTION: Final = "kubernetes.io/pv-protection"
EXTERNAL_PROVISIONER_FINALIZER: Final = "external-provisioner.volume.kubernetes.io/finalizer"
PV_CONTROLLER_FINALIZER: Final = "kubernetes.io/pv-controller"
CLONING_PROTECTION: Final = "provisioner.storage.kubernetes.io/cloning-protection"
VAC_PROTECTION: Final = "kubernetes.io/vac-protection"
SNAPSHOT_BOUND: Final = "snapshot.storage.kubernetes.io/volumesnapshot-bound-protection"
SNAPSHOT_AS_SOURCE: Final = "snapshot.storage.kubernetes.io/volumesnapshot-as-source-protection"
CONTENT_BOUND: Final = "snapshot.storage.kubernetes.io/volumesnapshotcontent-bound-protection"
CLAIM_AS_SOURCE: Final = "snapshot.storage.kubernetes.io/pvc-as-source-protection"

# A finalizer of our own: on each pool, until it is deleted and has no volumes.
POOL_PROTECTION: Final = "mooring.dev/pool-protection"
# Likewise: on each VolumeBackup, until what it has in its repository is forgotten.
BACKUP_PROTECTION: Final = "mooring.dev/backup-protection"

# Labels.
HOSTNAME: Final = "kubernetes.io/hostname"

# Provisioners. A name that starts with IN_TREE belongs to Kubernetes itself.
IN_TREE: Final = "kubernetes.io/"
NO_PROVISIONER: Final = "kubernetes.io/no-provisioner"
DIRECTORY_DRIVER: Final = "directory.mooring.dev"
LOOPFILE_DRIVER: Final = "loopfile.mooring.dev"
BTRFS_DRIVER: Final = "btrfs.mooring.dev"
NFS_DRIVER: Final = "nfs.mooring.dev"
HOST_LOCAL: Final = frozenset({DIRECTORY_DRIVER, LOOPFILE_DRIVER, BTRFS_DRIVER})
DRIVERS: Final = frozenset({DIRECTORY_DRIVER, LOOPFILE_DRIVER, BTRFS_DRIVER, NFS_DRIVER})

# Keys of our own.
# In csi.volumeAttributes of a volume; annotation of the content of a snapshot that is to be cut.
POOL_ATTRIBUTE: Final = "mooring.dev/pool"
POOL_PARAMETER: Final = "pool"  # in the parameters of a class
ELSEWHERE_PARAMETER: Final = "elsewhere"  # likewise, one of model.home.Elsewhere
REPLICAS_PARAMETER: Final = "replicas"  # likewise: on how many other hosts
EVERY_PARAMETER: Final = "replicaEvery"  # likewise: "10s"
# Annotation of a namespace and parameter of a class: how many times too large a volume may be.
MAX_WASTE: Final = "mooring.dev/max-waste"
SIZE_PARAMETER: Final = "defaultSize"  # of Docker volumes that say no size, likewise
USED: Final = "mooring.dev/used"  # annotation of a volume that was mounted: it is never made anew
GROWS_TO: Final = "mooring.dev/grows-to"  # likewise: what its pool is charged before it is so large
ELSEWHERE: Final = "mooring.dev/elsewhere"  # likewise: what its class's parameter said
HOME: Final = "mooring.dev/home"  # likewise: "NODE/POOL", where its data is, if that may change
COPIES: Final = "mooring.dev/copies"  # likewise: JSON, see model/home.py
MOVE_TO: Final = "mooring.dev/move-to"  # likewise: a node that it is to move to, and be used there
HOME_LABEL: Final = "volume.mooring.dev/"  # begin of a label of the Node that is its home: + name
OWNER: Final = "mooring.dev/owner"  # annotation of a claim: "UID:GID" of its volume's directory
MODE: Final = "mooring.dev/mode"  # likewise: the directory's permissions, in octal
RECLAIM: Final = "mooring.dev/reclaim-policy"  # likewise: to be set on its volume, once bound
CREATED_BY: Final = "mooring.dev/created-by"  # likewise: "docker/NODE"
UNANSWERED: Final = (
    "mooring.dev/unanswered"  # likewise: Docker may not know of it; a claim without name
)
ADOPTING: Final = "mooring.dev/adopting"  # likewise: a copy that is not whole yet, and which one
ADOPTED_FROM: Final = "mooring.dev/adopted-from"  # likewise: "NODE/VOLUME" of Docker
ADOPTED: Final = "mooring.dev/adopted"  # likewise: when it was whole, and what of; JSON
DOCKER_NAME: Final = "mooring.dev/docker-name"  # likewise: what Docker calls it
CONTAINER_NAME: Final = "mooring.dev/container-name"  # annotation of a Pod that stands for one
SERVICE: Final = "mooring.dev/service"  # likewise: of a swarm, whose task it is
SCHEDULE: Final = "mooring.dev/schedule"  # label of what a SnapshotSchedule made: its name
SCHEDULED_AT: Final = "mooring.dev/scheduled-at"  # annotation likewise: the time that was due
SCHEDULED_CLAIM: Final = "mooring.dev/scheduled-claim"  # likewise: of which claim
FENCING: Final = "mooring.dev/fencing"  # annotation of an attachment: what its host has promised
SWARM_NODE: Final = "mooring.dev/swarm-node"  # annotation of a Node: which one of a swarm it is
VOLUME_LABEL: Final = "mooring.vol."  # begin of labels of a swarm's nodes: + NAMESPACE.CLAIM
AVAILABILITY_LABEL: Final = "mooring.availability"  # likewise: what it was, and what it was set to
SWARM_DRAINED: Final = "mooring.dev/swarm-drained"  # annotation: nodes of a swarm set to drain here
ANONYMOUS: Final = "mooring.dev/anonymous"  # label of claims that Docker made without a name

# Components that events come from, storage semantics §11.
BINDER_COMPONENT: Final = "persistentvolume-controller"
SNAPSHOT_COMPONENT: Final = "snapshot-controller"

STORAGE: Final = "storage"  # the resource name in capacity, requests and limits
FILESYSTEM: Final = "Filesystem"
BLOCK: Final = "Block"
SHORT_MODES: Final = {  # as kubectl prints them
    "ReadWriteOnce": "RWO",
    "ReadOnlyMany": "ROX",
    "ReadWriteMany": "RWX",
    "ReadWriteOncePod": "RWOP",
}
# Sets of access modes, as a claim asks for them or a volume offers them.
ONE_CONTAINER: Final = frozenset({"ReadWriteOncePod"})
ONE_HOST: Final = ONE_CONTAINER | {"ReadWriteOnce"}
ONLY_READ: Final = frozenset({"ReadOnlyMany"})
MANY_HOSTS: Final = ONLY_READ | {"ReadWriteMany"}
IMMEDIATE: Final = "Immediate"
WAIT_FOR_FIRST_CONSUMER: Final = "WaitForFirstConsumer"
RETAIN: Final = "Retain"
DELETE: Final = "Delete"
RECYCLE: Final = "Recycle"


class Phase(StrEnum):
    """Of volumes and claims, storage semantics §8."""

    PENDING = "Pending"
    AVAILABLE = "Available"
    BOUND = "Bound"
    RELEASED = "Released"
    FAILED = "Failed"
    LOST = "Lost"
