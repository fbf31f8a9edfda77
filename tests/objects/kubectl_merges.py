"""What kubectl makes of patches, by Kubernetes' code and without a server, and what Mooring does.

Both are compared as they are once decoded: kube-apiserver drops what no struct has, directives
that were left over among it.
"""

import json
import os
import subprocess
import tempfile
from pathlib import Path
from typing import Any, Final

from mooring.objects.kind import Doc, Kind
from mooring.objects.kinds.registry import ALL_KINDS
from mooring.objects.patches import BadPatch, PatchRefused, copied, json_patched, merge_patched
from mooring.objects.schema import SCHEMAS, Unfit
from mooring.objects.strategic import strategic_patched

# Those whose structs are built into kubectl of all versions tried here.
CLIENT_GROUPS: Final = ("", "storage.k8s.io", "coordination.k8s.io", "events.k8s.io")
CLIENT_KINDS: Final = tuple(
    kind
    for kind in ALL_KINDS
    if kind.group in CLIENT_GROUPS and kind.kind != "VolumeAttributesClass"
)


class Newer(Exception):
    """The document has a field that came after this kubectl, which so cannot merge it."""

    @staticmethod
    def refuse(said: str) -> None:
        """Raise it if this is what kubectl says."""
        if "unable to find api field in struct" in said:
            raise Newer(said)


def merged(kubectl: str, doc: Doc, form: str, patch: Any) -> Doc | None:
    """The object after the patch; None if it is refused. Raises Newer.

    form  strategic, merge or json
    """
    with tempfile.NamedTemporaryFile("w", suffix=".json") as file:
        json.dump(doc, file)
        file.flush()
        flags = ["--local", f"--type={form}", "-o=json", "-p", json.dumps(patch)]
        command = [kubectl, "patch", "-f", file.name, *flags]
        environment = {**os.environ, "HOME": str(Path(file.name).parent), "KUBECONFIG": ""}
        done = subprocess.run(
            command, capture_output=True, text=True, check=False, timeout=60, env=environment
        )
    Newer.refuse(done.stderr)
    if done.returncode:
        return None
    result: Doc = json.loads(done.stdout)
    return result


def patched(kind: Kind, doc: Doc, form: str, patch: Any) -> Doc | None:
    """What Mooring makes of it, and None if it refuses."""
    try:
        if form == "strategic":
            return decoded(kind, strategic_patched(doc, patch, SCHEMAS.node(kind)))
        return decoded(kind, (json_patched if form == "json" else merge_patched)(doc, patch))
    except (BadPatch, PatchRefused):
        return None


def decoded(kind: Kind, doc: Doc | None) -> Doc | None:
    """As the server would have it; None if it would refuse it."""
    mine = copied(doc)
    try:
        SCHEMAS.conform(kind, mine)
    except Unfit:
        return None
    return mine
