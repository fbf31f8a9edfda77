"""Record what kubectl makes of patches, quantities and selectors, for tests to compare with.

Needs kubectl and no server: it does all that by the same code as kube-apiserver.
"""

import json
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from itertools import islice
from pathlib import Path
from typing import Any, Final

import yaml

from mooring.objects.kinds.registry import ALL_KINDS
from tests.api.kubectl_selectors import generated as generated_selectors
from tests.api.kubectl_selectors import selected
from tests.model.kubectl_quantities import canonical, generated
from tests.objects.generated_merges import applies as generated_applies
from tests.objects.generated_merges import cases
from tests.objects.kubectl_merges import CLIENT_KINDS, Newer, merged
from tests.system.kubectl_applies import applier, with_last_applied

TESTS: Final = Path(__file__).parents[1] / "tests"
KUBECTL: Final = shutil.which("kubectl") or "kubectl"
SEED: Final = 1
PATCHES: Final = 300
APPLIES: Final = 60
QUANTITIES: Final = 400
SELECTORS: Final = 300

Case = dict[str, Any]


def main() -> None:
    written = canonical(KUBECTL, Path(tempfile.mkdtemp()), [*generated(SEED, QUANTITIES)])
    write("model/data/quantities-recorded.json", written)
    write("objects/data/strategic-recorded.json", by_hand())
    write("objects/data/patches-recorded.json", patches())
    write("objects/data/applies-recorded.json", applies())
    write("api/data/selectors-recorded.json", selectors())


def write(name: str, content: Any) -> None:
    """A line for each entry."""
    if isinstance(content, dict):
        lines = [f"{json.dumps(key)}: {json.dumps(value)}" for key, value in content.items()]
        text = "{\n" + ",\n".join(lines) + "\n}\n"
    else:
        text = "[\n" + ",\n".join(json.dumps(case) for case in content) + "\n]\n"
    (TESTS / name).parent.mkdir(exist_ok=True)
    (TESTS / name).write_text(text)


def by_hand() -> Iterator[Case]:
    """The cases of strategic-cases.yaml."""
    spec = yaml.safe_load((TESTS / "objects/data/strategic-cases.yaml").read_text())
    for case in spec["cases"]:
        doc = spec["objects"][case["of"]]
        result = merged(KUBECTL, doc, "strategic", case["patch"])
        yield {"what": case["what"], "doc": doc, "patch": case["patch"], "result": result}


def patches() -> Iterator[Case]:
    for case in islice(cases(CLIENT_KINDS, SEED), PATCHES):
        change = {"doc": case.doc, "form": case.form, "patch": case.patch}
        with suppress(Newer):
            yield {**change, "result": merged(KUBECTL, **change)}


def applies() -> Iterator[Case]:
    """What `kubectl apply` asks, and what kubectl makes of that."""
    with applier(KUBECTL, Path(tempfile.mkdtemp()), schemas=False) as kubectl:
        for case in islice(generated_applies(ALL_KINDS, SEED), APPLIES):
            with suppress(Newer):
                asked = kubectl.asked(*case)
                if asked is not None:
                    live = with_last_applied(case.live, case.last)
                    result = merged(KUBECTL, live, asked.form, asked.patch)
                    yield {"doc": live, **asked._asdict(), "result": result}


def selectors() -> dict[str, list[int] | None]:
    home = Path(tempfile.mkdtemp())
    with applier(KUBECTL, home, schemas=False) as kubectl:
        texts = generated_selectors(SEED, SELECTORS)
        return {text: selected(KUBECTL, home, kubectl.url, text) for text in texts}


if __name__ == "__main__":
    main()
