"""A populator as they are written for Kubernetes, with the official Python client alone.

It fills volumes from sources of kind Greeting in hello.example.com, which nobody serves here: what
a Greeting says is in a ConfigMap of its name. A helper claim and a pod of it, in a namespace of the
populator's own, have the volume until it is filled; then it is pointed at the claim that asked.
"""

from pathlib import Path
from typing import Any, Final

from kubernetes import client
from kubernetes.client.exceptions import ApiException

GROUP, KIND = "hello.example.com", "Greeting"
REGISTRATION: Final = ("populator.storage.k8s.io", "v1beta1", "volumepopulators")
FINALIZER: Final = f"{GROUP}/populate-target-protection"
FROM: Final = f"{GROUP}/populated-from"
SELECTED: Final = "volume.kubernetes.io/selected-node"


class Populator:
    """place  the root of the pool on this host, where its pods would write through a mount."""

    def __init__(self, api: client.ApiClient, namespace: str, place: Path) -> None:
        self._core, self._custom = client.CoreV1Api(api), client.CustomObjectsApi(api)
        self._storage, self._events = client.StorageV1Api(api), client.CoreV1Api(api)
        self._namespace, self._place = namespace, place

    def register(self, name: str) -> None:
        source = {"group": GROUP, "kind": KIND}
        body = {
            "apiVersion": "/".join(REGISTRATION[:2]),
            "kind": "VolumePopulator",
            "metadata": {"name": name},
            "sourceKind": source,
        }
        self._custom.create_cluster_custom_object(*REGISTRATION, body)

    def look(self) -> None:
        """At all claims of others, as often as wanted: one step further with each."""
        for claim in self._core.list_persistent_volume_claim_for_all_namespaces().items:
            ref = claim.spec.data_source_ref
            if claim.metadata.namespace == self._namespace or ref is None:
                continue
            if (ref.api_group, ref.kind) == (GROUP, KIND):
                self._look_at(claim)

    def _look_at(self, claim: Any) -> None:
        name = f"populate-{claim.metadata.uid}"
        pod = self._found(self._core.read_namespaced_pod, name)
        helper = self._found(self._core.read_namespaced_persistent_volume_claim, f"prime-{name}")
        if not claim.spec.volume_name:
            greeting = self._found(
                self._core.read_namespaced_config_map,
                claim.spec.data_source_ref.name,
                claim.metadata.namespace,
            )
            if greeting is None or not self._may_begin(claim):
                return
            self._hold(claim)
            if helper is None:
                self._begin(claim, name)
                return
            if helper.spec.volume_name and pod.spec.node_name:
                self._fill(claim, helper.spec.volume_name, greeting, pod)
            return
        # The volume was handed over: the helper claim sees that it has lost it.
        if helper is not None and helper.status.phase != "Lost":
            return
        if pod is not None:
            self._core.delete_namespaced_pod(name, self._namespace)
        if helper is not None:
            self._core.delete_namespaced_persistent_volume_claim(
                helper.metadata.name, self._namespace
            )
        self._let_go(claim)

    def _found(self, read: Any, name: str, namespace: str = "") -> Any:
        try:
            return read(name, namespace or self._namespace)
        except ApiException as error:
            if error.status != 404:
                raise
            return None

    def _may_begin(self, claim: Any) -> bool:
        """With a class that waits, the node of the first consumer comes first."""
        class_ = self._storage.read_storage_class(claim.spec.storage_class_name)
        waits = class_.volume_binding_mode == "WaitForFirstConsumer"
        return not waits or SELECTED in (claim.metadata.annotations or {})

    def _begin(self, claim: Any, name: str) -> None:
        """The helper claim is as the claim, without the source; its pod would write into it."""
        annotations = claim.metadata.annotations or {}
        chosen = {SELECTED: annotations[SELECTED]} if SELECTED in annotations else {}
        helper = client.V1PersistentVolumeClaim(
            metadata=client.V1ObjectMeta(name=f"prime-{name}", annotations=chosen),
            spec=client.V1PersistentVolumeClaimSpec(
                access_modes=claim.spec.access_modes,
                resources=claim.spec.resources,
                storage_class_name=claim.spec.storage_class_name,
                volume_mode=claim.spec.volume_mode,
            ),
        )
        self._core.create_namespaced_persistent_volume_claim(self._namespace, helper)
        use = client.V1PersistentVolumeClaimVolumeSource(claim_name=helper.metadata.name)
        writer = client.V1Container(name="populate", image="example.com/populator")
        pod = client.V1Pod(
            metadata=client.V1ObjectMeta(name=name),
            spec=client.V1PodSpec(
                node_name=chosen.get(SELECTED),
                restart_policy="Never",
                containers=[writer],
                volumes=[client.V1Volume(name="target", persistent_volume_claim=use)],
            ),
        )
        self._core.create_namespaced_pod(self._namespace, pod)

    def _fill(self, claim: Any, volume: str, greeting: Any, pod: Any) -> None:
        """Do what the pod would do, then point the volume at the claim."""
        (self._place / volume / "data/greeting").write_text(greeting.data["says"])
        ended = {"status": {"phase": "Succeeded"}}
        self._core.patch_namespaced_pod_status(pod.metadata.name, self._namespace, ended)
        ref = {
            "namespace": claim.metadata.namespace,
            "name": claim.metadata.name,
            "uid": claim.metadata.uid,
            "resourceVersion": claim.metadata.resource_version,
        }
        source = f"{claim.metadata.namespace}/{claim.spec.data_source_ref.name}"
        patch = {"metadata": {"annotations": {FROM: source}}, "spec": {"claimRef": ref}}
        self._core.patch_persistent_volume(volume, patch)

    def _hold(self, claim: Any) -> None:
        if FINALIZER not in claim.metadata.finalizers:
            self._set_finalizers(claim, [*claim.metadata.finalizers, FINALIZER])

    def _let_go(self, claim: Any) -> None:
        kept = [one for one in claim.metadata.finalizers if one != FINALIZER]
        if kept != claim.metadata.finalizers:
            self._set_finalizers(claim, kept)

    def _set_finalizers(self, claim: Any, finalizers: list[str]) -> None:
        path = "/metadata/finalizers"
        patch = [
            {"op": "test", "path": path, "value": claim.metadata.finalizers},
            {"op": "replace", "path": path, "value": finalizers},
        ]
        self._core.patch_namespaced_persistent_volume_claim(
            claim.metadata.name, claim.metadata.namespace, patch
        )
