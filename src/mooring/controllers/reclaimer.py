"""Brings volumes to where their pointers say they belong, and applies their reclaim policy."""

from collections.abc import Callable
from functools import partial
from pathlib import Path

from mooring.clock import timestamp
from mooring.controllers.landscape import Landscape
from mooring.controllers.recorder import Recorder
from mooring.errors import MooringError
from mooring.host import files
from mooring.host.blocking import Blocking
from mooring.model.names import PV_PROTECTION, RECYCLE, Phase
from mooring.model.volume import Volume
from mooring.objects.objects import Objects
from mooring.reconcile.queue import Again, Done, Outcome
from mooring.rules.binding import rolled_back
from mooring.rules.events import NORMAL, EventNote
from mooring.rules.volumes import failed, reclaim_decision, volume_decision

RETRY_S = 15.0  # of a reclaim that failed, as Kubernetes' resync
SCRUB_DEADLINE_S = 60.0


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

    async def reconcile(self, name: str) -> Outcome:
        """Look at one volume, decide, commit at most once, say why."""
        volume = self._landscape.volume(name)
        if volume is None:
            return Done("the volume is gone")
        ref = volume.claim_ref
        claim = self._landscape.claim(ref.key) if ref else None
        decision = volume_decision(volume, claim, self._now())
        for note in decision.events:
            self._recorder.note(note)
        wanted = next((new for _, new in decision.writes if isinstance(new, Volume)), volume)
        wanted = _protected(wanted)
        if wanted is not volume:
            await self._objects.commit([(volume, wanted)])
            return Done(decision.why)
        if decision.wake and claim is not None:
            self._wake_claim(decision.wake)
        if decision.reclaim:
            return await self._reclaim(volume)
        return Done(decision.why)

    async def _reclaim(self, volume: Volume) -> Outcome:
        assert volume.claim_ref is not None
        pods = self._landscape.pods_of(volume.claim_ref.key)
        used = any(not pod.has_ended for pod in pods)
        used = used and self._landscape.claim(volume.claim_ref.key) is None
        step = reclaim_decision(volume, used, self._now())
        try:
            if step.delete_path:
                await self._delete(volume, Path(step.delete_path))
            elif step.recycle_path:
                await self._recycle(volume, Path(step.recycle_path))
        except (OSError, MooringError) as error:
            recycled = volume.reclaim_policy == RECYCLE
            reason = "VolumeFailedRecycle" if recycled else "VolumeFailedDelete"
            step = failed(volume, reason, str(error), self._now())
        for note in step.events:
            self._recorder.note(note)
        if step.writes:
            await self._objects.commit(step.writes)
        failing = volume.phase == Phase.FAILED or bool(step.events)
        return Again(RETRY_S, step.why) if failing else Done(step.why)

    async def _delete(self, volume: Volume, path: Path) -> None:
        await self._blocking.run(partial(files.remove_tree_under, Path("/tmp"), path))
        await self._objects.delete(self._objects.kinds[Volume.resource], volume.name)

    async def _recycle(self, volume: Volume, path: Path) -> None:
        await self._blocking.run(partial(files.empty_directory, path))
        message = "Volume recycled"
        self._recorder.note(EventNote(volume.reference(), NORMAL, "VolumeRecycled", message))
        await self._objects.commit([(volume, rolled_back(volume, self._now()))])

    def _now(self) -> str:
        return timestamp(self._objects.clock.now())


def _protected(volume: Volume) -> Volume:
    """§13: a volume is kept while its phase is Bound."""
    if not volume.being_deleted:
        return volume.with_finalizer(PV_PROTECTION)
    return volume if volume.phase == Phase.BOUND else volume.without_finalizer(PV_PROTECTION)
