"""What kubectl makes of patches: Kubernetes' own code, and no server merges anything."""

import json
import os
import subprocess
import tempfile
from pathlib import Path
from typing import Any, Final

from mooring.objects.kind import Doc
from mooring.objects.kinds.registry import ALL_KINDS

# Those whose structs are built into kubectl of all versions tried here.
CLIENT_KINDS: Final = tuple(
    kind
    for kind in ALL_KINDS
    if kind.group not in ("mooring.dev", "snapshot.storage.k8s.io")
    and kind.kind != "VolumeAttributesClass"
)


def merged(kubectl: str, doc: Doc, form: str, patch: Any) -> Doc | None:
    """The object after the patch; None if it is refused.

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
    if done.returncode:
        return None
    result: Doc = json.loads(done.stdout)
    return result
