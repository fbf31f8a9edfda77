"""Who keeps a claim from being deleted. Storage semantics §13."""

from collections.abc import Iterable

from mooring.model.claim import Claim
from mooring.model.pod import Pod


def holders(claim: Claim, pods: Iterable[Pod]) -> list[Pod]:
    """Those that have a node and use the claim, ended or not.

    A pod that a claim was made for holds it until the pod is shut down, one that names it until the
    pod is gone. A claim that only has the name of one made for a pod is not that pod's.
    """
    return [pod for pod in pods if pod.node_name and _uses(pod, claim)]


def _uses(pod: Pod, claim: Claim) -> bool:
    if pod.namespace != claim.namespace:
        return False
    if claim.name in pod.named_claims:
        return True
    owned = any(
        owner.uid == pod.uid and owner.controller for owner in claim.metadata.owner_references
    )
    return owned and claim.name in pod.ephemeral_claims and not _is_shut_down(pod)


def _is_shut_down(pod: Pod) -> bool:
    metadata = pod.metadata
    return pod.being_deleted and not metadata.deletion_grace_period_seconds
