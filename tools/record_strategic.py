"""Let kubectl compute the strategic merge patches that tests/objects/test_strategic.py checks.

Reads tests/objects/data/strategic-cases.yaml, writes strategic-recorded.json beside it. Needs
kubectl, no server: `kubectl patch --local` merges by the same code as kube-apiserver.
"""

import json
import subprocess
import tempfile
from pathlib import Path
from typing import Any

import yaml

DATA = Path(__file__).parents[1] / "tests/objects/data"


def merged(doc: dict[str, Any], patch: dict[str, Any]) -> dict[str, Any] | None:
    """The object after the patch; None if it is refused."""
    with tempfile.NamedTemporaryFile("w", suffix=".json") as file:
        json.dump(doc, file)
        file.flush()
        flags = ["--local", "--type=strategic", "-o=json", "-p", json.dumps(patch)]
        command = ["kubectl", "patch", "-f", file.name, *flags]
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    if done.returncode:
        print(f"refused: {done.stderr.strip()}")
        return None
    result: dict[str, Any] = json.loads(done.stdout)
    return result


def main() -> None:
    spec = yaml.safe_load((DATA / "strategic-cases.yaml").read_text())
    recorded = []
    for case in spec["cases"]:
        doc = spec["objects"][case["of"]]
        result = merged(doc, case["patch"])
        recorded.append(
            {"what": case["what"], "doc": doc, "patch": case["patch"], "result": result}
        )
    text = ",\n".join(json.dumps(case) for case in recorded)
    (DATA / "strategic-recorded.json").write_text(f"[\n{text}\n]\n")


if __name__ == "__main__":
    main()
