"""Pods, found by the claims that they use."""

from typing import Final

from mooring.model.pod import Pod
from mooring.objects.cache import Entry
from mooring.objects.views import view

SIGNS: Final = (b'"persistentVolumeClaim"', b'"ephemeral"')  # in the bytes of a pod that has claims


def claims_of(pod: Entry) -> list[str]:
    """The keys of the claims that a pod uses, of its own ones too."""
    if not any(sign in pod.body for sign in SIGNS):
        return []
    found = view(Pod, pod)
    return [f"{found.namespace}/{name}" for name in found.claim_names]
