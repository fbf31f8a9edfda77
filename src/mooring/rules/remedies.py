"""The command lines that explanations recommend.

They are made to be copied into a shell: names that nobody checked, as those in a claimRef, are
quoted.
"""

from collections.abc import Sequence
from shlex import quote
from typing import Final

import msgspec

from mooring.model.claim import Claim
from mooring.model.metadata import ObjectReference, View
from mooring.model.names import CONTAINER_NAME, SELECTED_NODE
from mooring.model.pod import Pod
from mooring.model.volume import Volume

COMMANDS_AT_MOST: Final = 3  # for as many pods


def freeing(volume: Volume) -> str:
    """Lets any claim have it."""
    return _merged("pv", volume, {"spec": {"claimRef": None}})


def handing_on(volume: Volume) -> str:
    """Lets the claim have it that is called as its last one was."""
    return _merged("pv", volume, {"spec": {"claimRef": {"uid": None, "resourceVersion": None}}})


def retaining(volume: Volume) -> str:
    """Keeps its data when its claim goes."""
    return _patched("pv", volume, {"spec": {"persistentVolumeReclaimPolicy": "Retain"}})


def naming(claim: Claim, volume: Volume) -> str:
    """Gives a claim that has no volume this one, which no claim has."""
    return _patched("pvc", claim, {"spec": {"volumeName": volume.name}})


def classing(claim: Claim, class_name: str) -> str:
    """Gives a claim a class that says none."""
    return _patched("pvc", claim, {"spec": {"storageClassName": class_name}})


def expanding(class_name: str) -> str:
    """Lets claims of a class grow."""
    return f"kubectl patch sc {quote(class_name)} -p {_json({'allowVolumeExpansion': True})}"


def rescheduling(claim: Claim) -> str:
    """Has another node chosen for a claim's volume."""
    return f"kubectl annotate pvc {_at(claim)} {SELECTED_NODE}-"


def choosing(claim: Claim, node: str) -> str:
    """Has a claim's volume made for a node that nobody chooses for it."""
    return f"kubectl annotate pvc {_at(claim)} {quote(f'{SELECTED_NODE}={node}')}"


def deleting(kind: str, one: View | ObjectReference) -> str:
    return f"kubectl delete {kind} {_at(one)}"


def asking(kind: str, one: View | ObjectReference) -> str:
    """Has it explained."""
    return f"mooring explain {kind} {_at(one)}"


def editing(kind: str, name: str) -> str:
    return f"kubectl edit {kind} {quote(name)}"


def ungated(pod: Pod) -> str:
    """Takes its scheduling gates away."""
    return _merged("pod", pod, {"spec": {"schedulingGates": None}})


def unfinalized(kind: str, one: View) -> str:
    """Takes all finalizers away."""
    return _merged(kind, one, {"metadata": {"finalizers": None}})


def ending(pods: Sequence[Pod]) -> str:
    """Has pods give up what they use: each is deleted, or its container removed."""
    found = [_ending(one) for one in pods[:COMMANDS_AT_MOST]]
    more = len(pods) - len(found)
    return ", ".join(found) + (f", and so on for {more} more" if more > 0 else "")


def _ending(pod: Pod) -> str:
    if not pod.is_mirror:
        return deleting("pod", pod)
    container = pod.annotations.get(CONTAINER_NAME)
    if container is None:
        return f"the end of what uses it on {pod.node_name}"
    return f"on {pod.node_name}: docker rm -f {quote(container)}"


def _merged(kind: str, one: View, patch: object) -> str:
    return f"kubectl patch {kind} {_at(one)} --type merge -p {_json(patch)}"


def _patched(kind: str, one: View, patch: object) -> str:
    return f"kubectl patch {kind} {_at(one)} -p {_json(patch)}"


def _at(one: View | ObjectReference) -> str:
    name = quote(one.name)
    return f"{name} -n {quote(one.namespace)}" if one.namespace else name


def _json(patch: object) -> str:
    return quote(msgspec.json.encode(patch).decode())
