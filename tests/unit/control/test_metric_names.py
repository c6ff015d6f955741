"""Names of metrics: by the convention, as the dashboard asks for them, and as the page about them says."""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml
from measured import metrics, searched, standing_of

from orchestrator.control.metrics import Standing
from tasks.keeper.slot import SlotTable
from tasks.worker.metrics import make_worker_registry

ROOT = Path(__file__).parents[3]
GRAFANA = ROOT / "docker" / "grafana"


def everything_shown() -> dict[str, set[str]]:
    """Returns the labels of each sample that a process may show, by name."""
    control = metrics()
    searched(control, name="a")
    with control.leading():
        best = standing_of("b").best
        control._standing = Standing((standing_of("b", best=best),), frozenset({"trials"}), (1, 1))
        families = [*control.registry.collect(), *make_worker_registry(SlotTable(1)).collect()]
    logging.getLogger("x").warning("so that there is a line")
    names: dict[str, set[str]] = {}
    for family in families:
        for sample in family.samples:
            names.setdefault(sample.name, set()).update(sample.labels)
        if not family.samples and family.type == "gauge":
            names.setdefault(family.name, set())
    # Of these there are no samples without a server, a best trial, and a warning.
    names["orchestrator_queue_length"] = {"queue"}
    names["orchestrator_study_best_value"] = {"study"}
    names["orchestrator_log_lines_total"] = {"level", "action"}
    return names


def test_names_follow_the_convention() -> None:
    for family in (*metrics().registry.collect(), *make_worker_registry(SlotTable(1)).collect()):
        assert re.fullmatch(r"(orchestrator|process)_[a-z_]+", family.name), family.name
        assert family.documentation
        if family.type == "counter":
            assert not family.name.endswith("_total"), "the client adds it"
        else:
            assert not family.name.endswith(("_total", "_count", "_ms", "_milliseconds")), family.name


def queries(value: Any) -> Iterator[str]:
    """Yields every query in a dashboard."""
    if isinstance(value, dict):
        for key, part in value.items():
            if key in ("expr", "query") and isinstance(part, str) and part != "prometheus":
                yield part
            else:
                yield from queries(part)
    elif isinstance(value, list):
        for part in value:
            yield from queries(part)


def test_every_query_of_the_dashboard_is_about_what_there_is() -> None:
    dashboard = json.loads((GRAFANA / "dashboards" / "orchestrator.json").read_text())
    names = everything_shown()
    found = list(queries(dashboard))
    assert len(found) > 30
    used = set()
    for query in found:
        assert query.count("(") == query.count(")")
        (metric, *_) = about = re.findall(r"\b(?:orchestrator|process)_\w+", query)
        assert set(about) <= set(names), query
        used |= set(about)
        labels = set(re.findall(r"(\w+)=~?\"", query))
        for group in re.findall(r"by \(([^)]*)\)", query):
            labels |= {label.strip() for label in group.split(",")}
        # The first two are Prometheus's own; the last one is of every histogram.
        assert labels - {"job", "instance", "le"} <= names[metric], query
    ours = {name for name in names if name.startswith("orchestrator_") and not name.endswith(("_sum", "_count"))}
    assert ours - used <= {
        *("orchestrator_build_info", "orchestrator_study_epochs", "orchestrator_commit_events_bucket"),
        "orchestrator_code_bytes_total",
    }


def test_panels_lie_beside_each_other() -> None:
    panels = json.loads((GRAFANA / "dashboards" / "orchestrator.json").read_text())["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    taken: set[tuple[int, int]] = set()
    for panel in panels:
        place = panel["gridPos"]
        columns = range(place["x"], place["x"] + place["w"])
        cells = {(x, y) for x in columns for y in range(place["y"], place["y"] + place["h"])}
        assert not cells & taken, panel["title"]
        assert max(x for x, _ in cells) < 24
        taken |= cells


def test_grafana_and_prometheus_are_told_of_each_other() -> None:
    (source,) = yaml.safe_load((GRAFANA / "provisioning/datasources/prometheus.yaml").read_text())["datasources"]
    dashboard = json.loads((GRAFANA / "dashboards" / "orchestrator.json").read_text())
    used = {panel["datasource"]["uid"] for panel in dashboard["panels"] if "datasource" in panel}
    assert used == {source["uid"]}
    jobs = yaml.safe_load((ROOT / "docker" / "prometheus.yml").read_text())["scrape_configs"]
    assert {job["job_name"] for job in jobs} == {"orchestrator-control", "orchestrator-workers"}
    assert all(job["basic_auth"]["password_file"] for job in jobs)


def test_the_page_names_what_is_shown_and_nothing_else() -> None:
    families = [*metrics().registry.collect(), *make_worker_registry(SlotTable(1)).collect()]
    kinds = {
        family.name + "_total" * (family.type == "counter"): family.type
        for family in families
        if family.name.startswith("orchestrator_")
    } | {"orchestrator_redis_up": "gauge", "orchestrator_queue_length": "gauge", "orchestrator_dead_letters": "gauge"}
    kinds |= {f"orchestrator_stream_lag_{unit}": "gauge" for unit in ("entries", "seconds")}
    page = (ROOT / "docs" / "metrics.md").read_text()
    rows = re.findall(r"^\| `(orchestrator_\w+)` \| (\w+) \|", page, re.MULTILINE)
    assert len(rows) == len(dict(rows))
    assert dict(rows) == kinds
    assert set(re.findall(r"orchestrator_\w+", page)) <= set(kinds)
