"""What a backup is of, where it can be made, and what becomes of it. Pure."""

from datetime import datetime
from typing import Final

from mooring.model.backup import BackupPhase, BackupProgress, BackupRepository, VolumeBackup
from mooring.model.claim import Claim
from mooring.model.names import Phase
from mooring.model.pool import Pool
from mooring.model.volume import Volume
from mooring.rules.filling import Amount

FIRST_DELAY_S: Final = 10.0  # after a failure of a backup, doubled with each
LONGEST_DELAY_S: Final = 600.0
OUR_TAG: Final = "mooring"


def tags(backup: VolumeBackup, claim_key: str, claim_uid: str) -> list[str]:
    """What the snapshot in the repository is found by, by us and by people."""
    own = [OUR_TAG, f"claim={claim_key}", f"claim-uid={claim_uid}", tag_of(backup)]
    return [*own, *backup.spec.tags]


def tag_of(backup: VolumeBackup) -> str:
    """Which only the snapshots of this backup have."""
    return f"backup={backup.uid}"


def why_unreadable(claim: Claim | None, key: str, volume: Volume | None) -> str:
    """Why a claim cannot be backed up now, "" if it can. All of it may change."""
    if claim is None:
        return f"claim {key} does not exist"
    if claim.being_deleted:
        return f"claim {key} is being deleted"
    if claim.phase != Phase.BOUND or volume is None:
        return f"claim {key} is not bound to a volume"
    return ""


def why_elsewhere(pool: Pool, repository: BackupRepository) -> str:
    """Why a volume of this pool can never reach the repository, "" if it can."""
    node = repository.spec.node
    if node and pool.node and node != pool.node:
        return (
            f"the volume is on host {pool.node}, and repository {repository.name} is a directory "
            f"of host {node}; use one that is an S3 store, or on {pool.node}"
        )
    return ""


def progress(amount: Amount, elapsed_s: float) -> BackupProgress:
    """As it is shown in the status."""
    return BackupProgress(
        percent=amount.percent,
        bytes_done=amount.done_bytes,
        total_bytes=amount.of_bytes,
        eta_seconds=amount.left_s(elapsed_s),
    )


def after_failure(backup: VolumeBackup, why: str, now: str) -> VolumeBackup:
    """Tried again, or given up. The parts that were uploaded stay in the repository."""
    failures = backup.status.failures + 1
    is_over = failures > backup.spec.retries
    return backup.with_status(
        phase=str(BackupPhase.FAILED if is_over else BackupPhase.PENDING),
        failures=failures,
        error=why,
        progress=None,
        completion_time=now if is_over else "",
    )


def delay_s(failures: int) -> float:
    """How long to wait after so many failures."""
    return float(min(FIRST_DELAY_S * 2 ** max(failures - 1, 0), LONGEST_DELAY_S))


def took_s(start: str, end: str) -> float:
    """Between two timestamps."""
    return (datetime.fromisoformat(end) - datetime.fromisoformat(start)).total_seconds()
