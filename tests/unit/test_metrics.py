"""What is shown to Prometheus: counts that agree with the rows, names by the convention, nothing to whoever may not."""

from __future__ import annotations

import base64
import contextlib
import json
import logging
import re
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import redis
import yaml
from prometheus_client import CollectorRegistry
from prometheus_client.parser import text_string_to_metric_families

from orchestrator.metrics import MOST_STUDIES, ControlMetrics, Standing
from orchestrator.notices import Progress
from orchestrator.ports import NoteState, Round
from orchestrator.spec.model import validate
from tasks.contract import Failed, Finished, Paused, Released, Stopped
from tasks.endpoint import BadSetting, Endpoint, endpoint_of
from tasks.exposition import Exposition, make_registry
from tasks.keeper.meters import Figure, Meters
from tasks.keeper.slots import Slots
from tasks.worker_metrics import make_worker_registry
from tests.servers import free_port
from tests.simulated.course import Course, Talk
from tests.simulated.simulation import Simulation

ROOT = Path(__file__).parents[2]
GRAFANA = ROOT / "docker" / "grafana"

SEARCH: dict[str, Any] = {
    "name": "search",
    "objective": "somewhere:objective",
    "direction": "maximize",
    "trials": 9,
    "max_steps": 4,
    "seed": 3,
    "sampler": {"name": "random"},
    "space": {"x": {"type": "float", "low": 0.0, "high": 1.0}},
    "pruner": {"name": "median", "n_startup_trials": 1, "n_warmup_steps": 1},
}


def objective(course: Course) -> Talk:
    x = yield from course.float("x")
    for step in range(course.load() + 1, 5):
        yield from course.report(step, x + step)
        yield from course.save(step)
    return x


class Away:
    """A Redis that nobody reaches."""

    def pipeline(self, **_: object) -> Away:
        return self

    def __getattr__(self, name: str) -> Any:
        def refuse(*_: object, **__: object) -> None:
            if name == "execute":
                raise redis.ConnectionError("it is away")

        return refuse


@pytest.fixture(autouse=True)
def _no_handlers_stay() -> Iterator[None]:
    before = list(logging.getLogger().handlers)
    yield
    for handler in set(logging.getLogger().handlers) - set(before):
        logging.getLogger().removeHandler(handler)


def metrics() -> ControlMetrics:
    return ControlMetrics(Away())  # type: ignore[arg-type]


def samples(registry: CollectorRegistry) -> dict[tuple[str, ...], float]:
    """Returns the value of each sample, by its name and the values of its labels."""
    return {
        (sample.name, *sample.labels.values()): sample.value
        for family in registry.collect()
        for sample in family.samples
    }


def searched(shown: ControlMetrics, **changes: Any) -> Simulation:
    """A whole search that ``shown`` has watched, with a worker that dies, is shut down, and repeats itself."""
    it = Simulation(validate(SEARCH | changes, "test"), objective, slots=2, observer=shown.observe)
    with shown.leading():
        it.start()
        for turn in range(12):
            for slot in it.slots:
                it.turn(slot)
            it.round()
            busy = [slot.run for slot in it.slots if slot.run is not None]
            if turn == 3:
                it.kill_keeper(busy[0])
            if turn == 6:
                it.free(busy[0], Released())
            if turn == 7:
                it.redis.publish(it.runs[0].said[0])
        it.run_to_end()
        for key, value in samples(shown.registry).items():
            assert key[0] != "orchestrator_leader" or value == 1
    return it


def test_the_counts_are_those_of_the_rows() -> None:
    shown = metrics()
    it = searched(shown)
    found = samples(shown.registry)
    ledger = it.ledger
    ended = Counter(row.state for row in ledger.trials.values())
    assert (ended["COMPLETE"], ended["PRUNED"]) == (
        found["orchestrator_trials_ended_total", "complete"],
        found["orchestrator_trials_ended_total", "pruned"],
    )
    assert sum(ended.values()) == 9
    assert found["orchestrator_trials_ended_total", "failed"] == ended["FAIL"] == 0
    assert found["orchestrator_epochs_total",] == sum(len(row.steps) for row in ledger.trials.values())
    assert found["orchestrator_epochs_redone_total",] == len(ledger.redone)
    prunes = Counter(row.action for row in ledger.decisions.values())
    assert found["orchestrator_decisions_total", "median", "prune"] == prunes["prune"] > 0
    retries = [row for row in ledger.attempts.values() if row.number > 1]
    assert found["orchestrator_retries_total", "lost"] == 1
    assert found["orchestrator_retries_total", "released"] == 1
    assert len(retries) == 2
    latencies = [row.latency for row in ledger.attempts.values() if row.verdict == "pruned" and row.latency]
    assert found["orchestrator_prune_latency_seconds_count",] == len(latencies) > 0
    assert found["orchestrator_prune_latency_seconds_sum",] == pytest.approx(sum(latencies))
    assert found["orchestrator_events_dropped_total", "duplicate"] == 1
    assert found["orchestrator_events_dropped_total", "gap"] == 0
    assert found["orchestrator_leader",] == 0


def test_a_study_is_shown_until_it_has_ended() -> None:
    shown = metrics()
    it = Simulation(validate(SEARCH, "test"), objective, observer=shown.observe)
    with shown.leading():
        it.start()
        found = samples(shown.registry)
        assert found["orchestrator_studies", "running"] == 1
        assert found["orchestrator_study_budget_trials", "search"] == 9
        assert found["orchestrator_study_trials", "search", "waiting"] == 1
        assert found["orchestrator_redis_up",] == 0
        it.run_to_end()
        shown._look_at = 0.0
        it.round()
        found = samples(shown.registry)
        assert found["orchestrator_studies", "running"] == 0
        assert not [key for key in found if "search" in key]
    # What is everybody's is shown by whoever leads.
    assert ("orchestrator_redis_up",) not in samples(shown.registry)


def test_the_series_of_many_studies_are_bounded() -> None:
    shown = metrics()
    many = tuple(standing_of(f"study-{count}") for count in range(MOST_STUDIES + 5))
    with shown.leading():
        shown._standing = Standing(many, frozenset({"trials"}), (3, 1))
        found = samples(shown.registry)
    assert found["orchestrator_studies", "running"] == MOST_STUDIES + 5
    assert sum(key[0] == "orchestrator_study_epochs" for key in found) == MOST_STUDIES


def standing_of(name: str, **changes: Any) -> Progress:
    given: dict[str, Any] = {
        "study": name,
        "state": "running",
        "reason": "",
        "budget": 9,
        "epochs": 30,
        "max_steps": None,
        **dict.fromkeys(("complete", "pruned", "failed", "running", "waiting", "epochs_saved"), 1),
        "best": None,
        "slots": (),
    }
    return Progress(**given | changes)


def test_a_rule_of_the_users_own_has_no_label_of_its_own() -> None:
    shown = metrics()
    it = Simulation(validate(SEARCH | {"pruner": {"name": "optuna.pruners:MedianPruner", "n_startup_trials": 1}}, "t"))
    rounds: list[Round] = []
    it.observer = rounds.append
    it.start()
    it.run_to_end()
    for each in rounds:
        shown.observe(each)
    assert {key[1] for key in samples(shown.registry) if key[0] == "orchestrator_decisions_total"} <= {"other"}


def test_what_becomes_of_notes_is_counted() -> None:
    shown = metrics()
    states = ("delivered", "owed", "owed", "failed")
    notes = {str(key): NoteState(state, 1, "", 0.0) for key, state in enumerate(states)}  # type: ignore[arg-type]
    shown.observe(Round(0, 0.001, {}, notes, [], lambda: (0, 0)))
    found = samples(shown.registry)
    results = ("delivered", "retried", "failed", "superseded")
    assert [found["orchestrator_notes_total", result] for result in results] == [1, 2, 1, 0]


def test_what_keepers_count_is_added_up_and_outlives_them() -> None:
    slots, meters = Slots(3), Meters(3)
    slots.set_busy(1, True)
    for slot, outcome in ((0, Finished()), (2, Finished()), (2, Stopped()), (1, Paused(step=1)), (1, Released())):
        meters.of(slot).count_outcome(outcome)
    meters.of(2).count_outcome(Failed(cause="died", error="E", message="m"))
    for slot, value in ((0, 5), (1, 7), (0, 2)):
        meters.of(slot).set(Figure.SPILLED_BYTES, value)
    meters.of(0).count(Figure.EPOCHS)
    found = samples(make_worker_registry(slots, meters))
    attempts = {key[1]: value for key, value in found.items() if key[0] == "orchestrator_worker_attempts_total"}
    assert attempts == {"finished": 2, "failed": 1, "stopped": 1, "paused": 1, "released": 1}
    assert found["orchestrator_worker_slots", "busy"] == 1
    assert found["orchestrator_worker_slots", "idle"] == 2
    assert found["orchestrator_worker_spilled_bytes",] == 2 + 7
    assert found["orchestrator_worker_epochs_total",] == 1


def test_warnings_are_counted_by_what_they_are_about() -> None:
    registry = make_registry()
    log = logging.getLogger("somewhere")
    log.warning("x", extra={"action": "redis_away"})
    log.error("y")
    log.info("z", extra={"action": "leading"})
    lines = {key[1:]: value for key, value in samples(registry).items() if key[0] == "orchestrator_log_lines_total"}
    assert lines == {("warning", "redis_away"): 1, ("error", ""): 1}


# -- names, and the dashboard ---------------------------------------------------------------------------------------


def everything_shown() -> dict[str, set[str]]:
    """Returns the labels of each sample that a process may show, by name."""
    control = metrics()
    searched(control, name="a")
    with control.leading():
        best = standing_of("b").best
        control._standing = Standing((standing_of("b", best=best),), frozenset({"trials"}), (1, 1))
        families = [*control.registry.collect(), *make_worker_registry(Slots(1), Meters(1)).collect()]
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
    for family in (*metrics().registry.collect(), *make_worker_registry(Slots(1), Meters(1)).collect()):
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
    assert ours - used <= {"orchestrator_build_info", "orchestrator_study_epochs", "orchestrator_commit_events_bucket"}


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


# -- who may ask ----------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def exposed(password: str = "") -> Iterator[str]:
    made = Exposition(Endpoint(free_port(), password=password), make_registry())
    made.start()
    yield f"http://127.0.0.1:{made.port}/metrics"
    made.close()


def ask(url: str, credentials: bytes | None = None, scheme: str = "Basic") -> tuple[int, str]:
    headers = {} if credentials is None else {"Authorization": f"{scheme} {base64.b64encode(credentials).decode()}"}
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(urllib.request.Request(url, headers=headers), timeout=30) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode()


def test_metrics_are_shown_in_the_text_format() -> None:
    with exposed() as url:
        status, text = ask(url)
        assert status == 200
        assert {family.name for family in text_string_to_metric_families(text)} >= {"process_cpu_seconds"}
        assert ask(url.replace("/metrics", "/etc/passwd"))[0] == 404
    with pytest.raises(urllib.error.URLError):
        ask(url)


def test_the_password_is_wanted() -> None:
    with exposed("hush ü") as url:
        for credentials in (None, b"", b"x:", b"x:hush", b"hush \xc3\xbc", b"\xff:\xff"):
            assert ask(url, credentials)[0] == 401, credentials
        assert ask(url, b"x:hush \xc3\xbc", "Bearer")[0] == 401
        assert ask(url, b"anybody:hush \xc3\xbc")[0] == 200


@pytest.mark.parametrize(
    ("environ", "words"),
    [
        ({"PORT": "x"}, "METRICS_PORT: is 'x'; it must be a port"),
        ({"PORT": "70000"}, "METRICS_PORT: is 70000; it must be a port"),
        ({"PORT": "-1"}, "METRICS_PORT: is '-1'"),
        ({"PORT": "9", "ADDRESS": "0.0.0.0"}, "METRICS_ADDRESS: '0.0.0.0' can be reached from elsewhere"),
        ({"PORT": "9", "ADDRESS": "::"}, "METRICS_ADDRESS: '::' can be reached from elsewhere"),
        ({"PORT": "9", "ADDRESS": "example.org"}, "set ORCHESTRATOR_METRICS_PASSWORD or"),
        ({"PORT": "9", "PASSWORD": "a", "PASSWORD_FILE": "b"}, "METRICS_PASSWORD_FILE: stands beside"),
        ({"PORT": "9", "PASSWORD_FILE": "/nowhere"}, "METRICS_PASSWORD_FILE: cannot be read: No such file"),
        ({"PORT": "9", "PASSWORD_FILE": "/dev/null"}, "METRICS_PASSWORD_FILE: names an empty file"),
    ],
)
def test_an_endpoint_that_is_wrong_is_refused(environ: dict[str, str], words: str) -> None:
    with pytest.raises(BadSetting) as caught:
        endpoint_of({f"ORCHESTRATOR_METRICS_{key}": value for key, value in environ.items()})
    assert words in str(caught.value)


def test_an_endpoint_is_off_unless_it_is_wanted(tmp_path: Path) -> None:
    assert endpoint_of({}) is None
    assert endpoint_of({"ORCHESTRATOR_METRICS_PORT": "0"}) is None
    assert endpoint_of({"ORCHESTRATOR_METRICS_PORT": "9"}, 0) is None
    assert endpoint_of({"ORCHESTRATOR_METRICS_PORT": "9"}) == Endpoint(9)
    for loopback in ("127.0.0.5", "::1", "localhost"):
        assert endpoint_of({"ORCHESTRATOR_METRICS_ADDRESS": loopback}, 9) == Endpoint(9, loopback)
    file = tmp_path / "password"
    file.write_text("hush\n")
    given = {"ORCHESTRATOR_METRICS_ADDRESS": "0.0.0.0", "ORCHESTRATOR_METRICS_PASSWORD_FILE": str(file)}
    found = endpoint_of(given, 9)
    assert found == Endpoint(9, "0.0.0.0", "hush")
    assert "hush" not in repr(found)


def test_a_port_that_is_taken_is_named() -> None:
    with exposed() as url:
        port = int(url.split(":")[2].split("/")[0])
        with pytest.raises(BadSetting, match=f"METRICS_PORT: 127.0.0.1:{port} cannot be had: Address already in use"):
            Exposition(Endpoint(port), make_registry())


# -- the page about it ----------------------------------------------------------------------------------------------


def test_the_page_names_what_is_shown_and_nothing_else() -> None:
    families = [*metrics().registry.collect(), *make_worker_registry(Slots(1), Meters(1)).collect()]
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
