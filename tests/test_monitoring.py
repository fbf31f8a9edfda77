"""The board and the rules that come with Mooring: whole, and about metrics that there are."""

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.api.client import Client

EXAMPLES = Path(__file__).parent.parent / "examples"
BOARD = json.loads((EXAMPLES / "grafana/mooring.json").read_text())
RULES = EXAMPLES / "prometheus/rules.yaml"
CONFIG = EXAMPLES / "prometheus/prometheus.yaml"
PROMTOOL = shutil.which("promtool")
needs_promtool = pytest.mark.skipif(
    PROMTOOL is None, reason="needs promtool, of Debian's prometheus"
)
METRIC = re.compile(
    r"\b(?:mooring|kube|kubelet|leader_election|workqueue|storage_operation|process)_[a-z0-9_]+"
)


def panels() -> Iterator[dict[str, Any]]:
    for panel in BOARD["panels"]:
        yield panel
        yield from panel.get("panels", ())


def board_expressions() -> list[str]:
    found = [target["expr"] for panel in panels() for target in panel.get("targets", ())]
    found += [one["definition"] for one in BOARD["templating"]["list"] if "definition" in one]
    return found


def rule_expressions() -> list[str]:
    groups = yaml.safe_load(RULES.read_text())["groups"]
    return [rule["expr"] for group in groups for rule in group["rules"]]


@pytest.fixture
async def names() -> set[str]:
    """Of all metrics that are served, those of a histogram included."""
    async with Client() as client:
        text = (await client.send("GET", "/metrics")).body.decode()
    types = dict(re.findall(r"^# TYPE (\S+) (\S+)$", text, re.MULTILINE))
    for name, type_ in list(types.items()):
        if type_ == "histogram":
            types.update({f"{name}_{part}": "counter" for part in ("bucket", "sum", "count")})
    return set(types)


@pytest.mark.parametrize("expression", [*board_expressions(), *rule_expressions()])
async def test_every_metric_that_is_asked_for_is_served(expression: str, names: set[str]) -> None:
    asked = set(METRIC.findall(expression))
    assert asked or "up{" in expression
    assert asked <= names


def test_panels_have_numbers_and_places_of_their_own() -> None:
    ids = [panel["id"] for panel in panels()]
    assert len(ids) == len(set(ids))
    taken: dict[tuple[int, int], str] = {}
    for panel in panels():
        place = panel["gridPos"]
        assert place["x"] + place["w"] <= 24
        for x in range(place["x"], place["x"] + place["w"]):
            for y in range(place["y"], place["y"] + place["h"]):
                assert (x, y) not in taken, f"{panel['title']} over {taken.get((x, y))}"
                taken[x, y] = panel["title"]


def test_a_panel_says_what_it_shows() -> None:
    for panel in panels():
        assert panel["title"]
        if panel["type"] != "row":
            assert panel["targets"], panel["title"]
            assert panel["fieldConfig"]["defaults"]["unit"], panel["title"]
            refs = [target["refId"] for target in panel["targets"]]
            assert len(refs) == len(set(refs))
            assert panel["datasource"]["uid"] == "${datasource}"  # whoever imports it chooses


def test_every_alert_says_what_is_wrong() -> None:
    rules = [rule for one in yaml.safe_load(RULES.read_text())["groups"] for rule in one["rules"]]
    names = [rule["alert"] for rule in rules]
    assert len(names) == len(set(names))
    for rule in rules:
        assert rule["annotations"]["summary"]
        assert rule["labels"]["severity"] in ("info", "warning", "critical")


@needs_promtool
def test_prometheus_takes_the_rules_and_the_configuration(tmp_path: Path) -> None:
    assert PROMTOOL is not None
    subprocess.run([PROMTOOL, "check", "rules", RULES], check=True, capture_output=True)
    text = CONFIG.read_text().replace("/etc/prometheus", str(tmp_path))
    for name in ("mooring.token", "mooring-ca.crt"):
        (tmp_path / name).touch()
    (tmp_path / "prometheus.yaml").write_text(text)
    shutil.copy(RULES, tmp_path)
    check = [PROMTOOL, "check", "config", tmp_path / "prometheus.yaml"]
    subprocess.run(check, check=True, capture_output=True)


@needs_promtool
def test_prometheus_understands_what_the_board_asks(tmp_path: Path) -> None:
    assert PROMTOOL is not None
    asked = [one for one in board_expressions() if not one.startswith("label_values")]
    asked = [one.replace("$__rate_interval", "5m").replace("$namespace", ".*") for one in asked]
    rules = [{"record": f"board:{number}", "expr": one} for number, one in enumerate(asked)]
    document = {"groups": [{"name": "board", "rules": rules}]}
    (tmp_path / "board.yaml").write_text(yaml.safe_dump(document))
    check = [PROMTOOL, "check", "rules", tmp_path / "board.yaml"]
    subprocess.run(check, check=True, capture_output=True)
