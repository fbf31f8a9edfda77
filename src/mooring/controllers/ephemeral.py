"""Makes the claims that pods have of their own, from templates. Storage semantics §19.

Such a claim goes with its pod by its owner reference: whoever collects what has no owner any longer
deletes it.
"""

from typing import Final

from mooring.controllers.recorder import Recorder
from mooring.errors import MooringError
from mooring.model.claim import Claim
from mooring.model.pod import Pod
from mooring.objects.errors import AlreadyExists
from mooring.objects.kind import Doc
from mooring.objects.objects import Objects
from mooring.reconcile.backoff import Backoff
from mooring.reconcile.queue import Again, Done, Outcome
from mooring.rules.events import WARNING, EventNote
from mooring.rules.scheduling import not_its_own
from mooring.store.interface import Conflict

COMPONENT: Final = "ephemeral_volume"  # of its events


class Ephemeral:
    """Looks at one pod at a time."""

    def __init__(self, objects: Objects, recorder: Recorder) -> None:
        self._objects, self._recorder = objects, recorder
        self._backoff = Backoff(objects.clock)

    async def reconcile(self, key: str) -> Outcome:
        """See that each claim of the pod's own is there. A claim of others is never adopted."""
        pod = self._objects.view(Pod, key)
        if pod is None or pod.being_deleted or pod.is_mirror or not pod.ephemeral_claims:
            self._backoff.forget(key)
            return Done("no pod that has claims of its own")
        doc = self._objects.one(Pod.resource, key)
        assert doc is not None  # no await since
        for volume in doc["spec"].get("volumes") or ():
            if (own := volume.get("ephemeral")) is None:
                continue
            template = own.get("volumeClaimTemplate") or {}
            if why := await self._lacking(pod, f"{pod.name}-{volume.get('name', '')}", template):
                message = f"ephemeral volume {volume.get('name', '')}: {why}"
                note = EventNote(pod.reference(), WARNING, "FailedBinding", message, COMPONENT)
                self._recorder.note(note)
                return Again(self._backoff.failed(key, pod.uid), message)
        self._backoff.forget(key)
        return Done("its claims are there")

    async def _lacking(self, pod: Pod, name: str, template: Doc) -> str:
        """Make the claim if it is not there. Returns why the pod cannot have it, "" if it has.

        raises  Conflict: the pod is not as it was any longer
        """
        found = self._objects.view(Claim, f"{pod.namespace}/{name}")
        if found is not None:
            return not_its_own(found, pod)
        metadata = template.get("metadata") or {}
        owner = {
            "apiVersion": "v1",
            "kind": "Pod",
            "name": pod.name,
            "uid": pod.uid,
            "controller": True,
            "blockOwnerDeletion": True,
        }
        doc: Doc = {
            "metadata": {
                "name": name,
                "ownerReferences": [owner],
                **{key: metadata[key] for key in ("annotations", "labels") if metadata.get(key)},
            },
            "spec": template.get("spec") or {},
        }
        kind = self._objects.kinds[Claim.resource]
        try:
            await self._objects.create(kind, pod.namespace, doc, beside=lambda _: [(pod, pod)])
        except AlreadyExists:
            found = self._objects.view(Claim, f"{pod.namespace}/{name}")
            return not_its_own(found, pod) if found is not None else ""
        except Conflict:  # the pod is another than it was: it is looked at anew
            raise
        except MooringError as error:
            return f"create PVC {name}: {error}"
        return ""
