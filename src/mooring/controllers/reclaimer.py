"""Brings volumes to where their pointers say they belong, and applies their reclaim policy."""

from collections.abc import Callable, Coroutine
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any, Final

from mooring.clock import timestamp
from mooring.controllers.landscape import Landscape
from mooring.controllers.recorder import Recorder
from mooring.crashpoints import crash_point, passing
from mooring.errors import MooringError
from mooring.host import files
from mooring.host.blocking import Blocking
from mooring.host.errors import MountInside
from mooring.model.names import DELETE, PV_CONTROLLER_FINALIZER, RECYCLE
from mooring.model.pool import Pool
from mooring.model.volume import Volume
from mooring.objects.errors import NotFound
from mooring.objects.objects import Objects, Preconditions
from mooring.reconcile.backoff import Backoff
from mooring.reconcile.queue import Again, Done, Outcome, Step
from mooring.rules.binding import rolled_back
from mooring.rules.events import NORMAL, EventNote
from mooring.rules.volumes import (
    Reclaim,
    busy,
    failed,
    guarded,
    reclaim_decision,
    volume_decision,
)

RETRY_S: Final = 15.0  # while pods or mounts hold it, as Kubernetes' resync
SCRUB_DEADLINE_S: Final = 60.0
DELETED: Final = crash_point("reclaim.path-deleted")
RECYCLED: Final = crash_point("reclaim.path-emptied")


class Reclaimer:
    """Looks at one volume at a time."""

    def __init__(
        self,
        objects: Objects,
        landscape: Landscape,
        recorder: Recorder,
        wake_claim: Callable[[str], None],
    ) -> None:
        self._objects, self._landscape, self._recorder = objects, landscape, recorder
        self._wake_claim = wake_claim
        self._blocking = Blocking("host paths of volumes", deadline_s=SCRUB_DEADLINE_S)
        self._backoff = Backoff(objects.clock)

    def reconcile(self, name: str) -> Outcome | Step | Coroutine[Any, Any, Outcome]:
        """Look at one volume and decide: what to commit at once, or how to reclaim it, and why."""
        volume = self._landscape.volume(name)
        if volume is None:
            self._backoff.forget(name)
            return Done("the volume is gone")
        ref = volume.claim_ref
        claim = self._landscape.claim(ref.key) if ref else None
        decision = volume_decision(volume, claim, self._now())
        for note in decision.events:
            self._recorder.note(note)
        wanted = next((new for _, new in decision.writes if isinstance(new, Volume)), volume)
        wanted = guarded(wanted)
        if wanted is not volume:
            return Step(decision.why, [(volume, wanted)])
        if decision.wake and claim is not None:
            self._wake_claim(decision.wake)
        if decision.reclaim:
            return self._reclaim(volume)
        self._backoff.forget(name)
        return Done(decision.why)

    async def _reclaim(self, volume: Volume) -> Outcome:
        roots = [pool.root for pool in self._objects.views(Pool)]
        step = reclaim_decision(volume, self._is_used(volume), roots, self._now())
        if not (step.delete_path or step.recycle_path):
            await self._settle(step)
            return Again(RETRY_S, step.why) if step.busy else Done(step.why)
        if (left_s := self._backoff.left_s(volume.name, volume.uid)) > 0:
            return Again(left_s, "it failed, and is tried again later")
        try:
            await self._blocking.run(partial(_carry_out, step))
        except (OSError, MooringError) as error:
            return await self._not_done(volume, error)
        self._backoff.forget(volume.name)
        if step.delete_path:
            passing(DELETED)
            await self._remove(volume)
        else:
            passing(RECYCLED)
            await self._objects.commit([(volume, rolled_back(volume, self._now()))])
            note = EventNote(volume.reference(), NORMAL, "VolumeRecycled", "Volume recycled")
            self._recorder.note(note)
        return Done(step.why)

    def _is_used(self, volume: Volume) -> bool:
        """Whether pods that have not ended use its old claim, which is gone."""
        assert volume.claim_ref is not None
        key = volume.claim_ref.key
        return self._landscape.claim(key) is None and any(
            not pod.has_ended for pod in self._landscape.pods_of(key)
        )

    async def _not_done(self, volume: Volume, error: OSError | MooringError) -> Outcome:
        if isinstance(error, MountInside) and volume.reclaim_policy == DELETE:
            await self._settle(busy(volume, str(error)))
            return Again(RETRY_S, str(error))
        recycled = volume.reclaim_policy == RECYCLE
        reason = "VolumeFailedRecycle" if recycled else "VolumeFailedDelete"
        delay_s = self._backoff.failed(volume.name, volume.uid)
        await self._settle(failed(volume, reason, str(error), self._now()))
        return Again(delay_s, str(error))

    async def _settle(self, step: Reclaim) -> None:
        if step.writes:
            await self._objects.commit(step.writes)
        for note in step.events:
            self._recorder.note(note)

    async def _remove(self, volume: Volume) -> None:
        """Its data is gone, so nothing of ours holds it any longer."""
        let_go = volume.without_finalizer(PV_CONTROLLER_FINALIZER)
        if let_go is not volume:
            await self._objects.commit([(volume, let_go)])
        if volume.being_deleted:
            return
        with suppress(NotFound):
            kind, same = self._objects.kinds[Volume.resource], Preconditions(uid=volume.uid)
            await self._objects.delete(kind, volume.name, preconditions=same)

    def _now(self) -> str:
        return timestamp(self._objects.clock.now())


def _carry_out(step: Reclaim) -> None:
    if step.delete_path:
        files.remove_tree_under(Path("/tmp"), Path(step.delete_path))
    else:
        files.empty_directory_under(Path(step.recycle_root), Path(step.recycle_path))
