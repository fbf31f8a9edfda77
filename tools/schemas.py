"""Write the schemas of the API: src/mooring/objects/data/definitions.json. Run it again for a kind.

Kubernetes' part is taken out of the PyPI package kubernetes-validate (Apache-2.0), which ships the
OpenAPI definitions of a release as JSON schemas; ours is own_schemas.yaml beside this file. The
result is in the form of OpenAPI v2, a definition a line, and holds what a served kind can reach.
"""

import hashlib
import json
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Final

import yaml

from mooring.api.discovery import KUBERNETES_MINOR, REVIEWS
from mooring.objects.kinds.registry import ALL_KINDS

Schema = dict[str, Any]
Definitions = dict[str, Schema]
GroupVersionKind = tuple[str, str, str]

PACKAGE: Final = "kubernetes-validate==1.37.0"
SHA256: Final = "85136d018a27b50ec7fc049d902bfa5193f5976807e6c0f408e3ab6fe078cad9"
MEMBER: Final = (
    f"kubernetes_validate/kubernetes-json-schema/v1.{KUBERNETES_MINOR}.0-local/_definitions.json"
)
OWN: Final = Path(__file__).with_name("own_schemas.yaml")
TARGET: Final = Path(__file__).parents[1] / "src/mooring/objects/data/definitions.json"

GVK: Final = "x-kubernetes-group-version-kind"
META: Final = "io.k8s.apimachinery.pkg.apis.meta.v1"
PROTOCOL: Final = (f"{META}.Status", f"{META}.DeleteOptions", f"{META}.WatchEvent", f"{META}.Patch")
# What the package says with oneOf, which OpenAPI v2 does not have; Quantity lost its description.
WRITTEN_OTHERWISE: Final[Definitions] = {
    "io.k8s.apimachinery.pkg.api.resource.Quantity": {
        "description": "Quantity is an exact number with a suffix: a power of 1024 (Ki, Mi, Gi, "
        "Ti, Pi, Ei), a power of 1000 (n, u, m, k, M, G, T, P, E), or an exponent (e3). Examples: "
        "10Gi, 500M, 1.5Ti. It is at most 2^63-1, and what is finer than 1n is rounded up.",
        "type": "string",
    },
    "io.k8s.apimachinery.pkg.util.intstr.IntOrString": {
        "description": "IntOrString is a number or a text, such as 8080 or 25%.",
        "format": "int-or-string",
        "type": "string",
    },
}


def main() -> None:
    everything = kubernetes_definitions() | yaml.safe_load(OWN.read_text())
    wanted = dict(sorted(reachable(everything, roots(everything)).items()))
    for schema in wanted.values():
        keep_served_groups(schema)
    lines = (f"{json.dumps(name)}:{compact(schema)}" for name, schema in wanted.items())
    TARGET.write_text("{\n" + ",\n".join(lines) + "\n}\n")
    print(f"{TARGET}: {len(wanted)} definitions, {TARGET.stat().st_size} bytes")


def kubernetes_definitions() -> Definitions:
    """All definitions of the release whose behaviour is served."""
    with tempfile.TemporaryDirectory() as directory:
        command = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet"]
        command += ["download", "--no-deps", "--only-binary", ":all:", "-d", directory, PACKAGE]
        subprocess.run(command, check=True, timeout=600)
        (wheel,) = Path(directory).glob("*.whl")
        if hashlib.sha256(wheel.read_bytes()).hexdigest() != SHA256:
            raise SystemExit(f"{wheel.name} is not the file that this tool was written for")
        with zipfile.ZipFile(wheel) as archive:
            found = json.loads(archive.read(MEMBER))["$defs"]
    return {name: openapi(schema) for name, schema in found.items()} | WRITTEN_OTHERWISE


def openapi(value: Any) -> Any:
    """A JSON schema in the words of OpenAPI v2: no null, references to #/definitions/."""
    if isinstance(value, list):
        return [openapi(one) for one in value]
    if not isinstance(value, dict):
        return value
    # Only kind and apiVersion have one, and Kubernetes publishes none there.
    kept = {key: openapi(one) for key, one in value.items() if not is_enum(key, one)}
    if isinstance(kind := kept.get("type"), list):
        (kept["type"],) = (one for one in kind if one != "null")
    if isinstance(reference := kept.get("$ref"), str):
        kept["$ref"] = reference.replace("#/$defs/", "#/definitions/")
    return kept


def is_enum(key: str, value: Any) -> bool:
    return key == "enum" and isinstance(value, list)  # a dict is a field of that name


def roots(definitions: Definitions) -> Iterator[str]:
    """The names of what is served as an object, a list or a review. SystemExit if one lacks."""
    names = {
        (one["group"], one["version"], one["kind"]): name
        for name, schema in definitions.items()
        for one in schema.get(GVK, ())
    }
    yield from PROTOCOL
    for wanted in served():
        if wanted not in names:
            raise SystemExit(f"no schema of {wanted}: neither in {PACKAGE} nor in {OWN.name}")
        yield names[wanted]


def served() -> Iterator[GroupVersionKind]:
    for kind in ALL_KINDS:
        yield kind.group, kind.version, kind.kind
        yield kind.group, kind.version, f"{kind.kind}List"
    yield "", "v1", "Binding"  # sent, never stored
    for path, _, review in REVIEWS:
        _, _, group, version = path.split("/")
        yield group, version, review


def reachable(definitions: Definitions, names: Iterable[str]) -> Definitions:
    """These definitions and all that they refer to."""
    found: Definitions = {}
    waiting = list(names)
    while waiting:
        name = waiting.pop()
        if name not in found:
            found[name] = definitions[name]
            waiting += references(definitions[name])
    return found


def references(value: Any) -> Iterator[str]:
    for one in value.values() if isinstance(value, dict) else value:
        if isinstance(one, dict | list):
            yield from references(one)
    if isinstance(value, dict) and isinstance(reference := value.get("$ref"), str):
        yield reference.removeprefix("#/definitions/")


def keep_served_groups(schema: Schema) -> None:
    """DeleteOptions and WatchEvent are of every group that Kubernetes has: leave ours."""
    groups = {(group, version) for group, version, _ in served()}
    if GVK in schema:
        kept = [one for one in schema[GVK] if (one["group"], one["version"]) in groups]
        own = [one for one in ours(schema[GVK], groups) if one not in kept]
        schema[GVK] = sorted(kept + own, key=lambda one: (one["group"], one["version"]))


def ours(named: list[Schema], groups: set[tuple[str, str]]) -> Iterator[Schema]:
    """What is of many groups is of those as well that Kubernetes does not have."""
    if len(named) > 1:
        for group, version in groups:
            yield {"group": group, "kind": named[0]["kind"], "version": version}


def compact(schema: Schema) -> str:
    return json.dumps(schema, sort_keys=True, ensure_ascii=False, separators=(",", ":"))


if __name__ == "__main__":
    main()
