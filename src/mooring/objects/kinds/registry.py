"""All served kinds. A new one is its module and a line here."""

from typing import Final

from mooring.objects.kind import Kind
from mooring.objects.kinds import (
    backup,
    core,
    csi,
    event,
    limits,
    persistentvolume,
    persistentvolumeclaim,
    pool,
    snapshot,
    snapshotschedule,
    storageclass,
    volumeattachment,
    volumeattributesclass,
    volumepopulator,
)

ALL_KINDS: Final[tuple[Kind, ...]] = (
    core.NAMESPACE,
    core.POD,
    core.NODE,
    event.CORE,
    core.SECRET,
    core.CONFIG_MAP,
    limits.QUOTA,
    limits.RANGE,
    persistentvolume.KIND,
    persistentvolumeclaim.KIND,
    event.NEW,
    core.LEASE,
    storageclass.KIND,
    volumeattachment.KIND,
    csi.DRIVER,
    csi.NODE,
    csi.STORAGE_CAPACITY,
    volumeattributesclass.KIND,
    snapshot.CLASS,
    snapshot.SNAPSHOT,
    snapshot.CONTENT,
    volumepopulator.KIND,
    pool.KIND,
    backup.REPOSITORY,
    backup.BACKUP,
    backup.ARCHIVE,
    snapshotschedule.KIND,
)
