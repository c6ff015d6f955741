"""The page: one file that fetches nothing and, by its own policy, could not."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from functools import cache
from importlib import resources
from typing import Any, NamedTuple

from jinja2 import Environment, PackageLoader, StrictUndefined, Template
from markupsafe import Markup
from optuna.trial import FrozenTrial, TrialState
from plotly.offline import get_plotlyjs

from orchestrator.common import formatting
from orchestrator.common.formatting import cut, duration, one_line, percent, percentiles
from orchestrator.engine.artifacts import kept_of
from orchestrator.model.attribute_keys import KEPT, RECORD, filename_of
from orchestrator.report.facts import Facts
from orchestrator.report.outcome_plots import cause_of, failure_of
from orchestrator.report.plot import Plot
from orchestrator.report.trial_table import table
from orchestrator.spec import Spec

MOST_BEST = 10
MOST_FAILED = 20
MOST_NAMED = 8
"""Parameters of the best trial that the first sentence names."""
_FIRST = ("best", "history", "front")
"""The sections that a reader looks for first; the other plots follow in their own order."""
_LAST = {"all-trials": "All trials", "figures": "Figures", "spec": "Spec", "origin": "Origin and versions"}


class _File(NamedTuple):
    """A file that a trial has saved; ``kind`` is empty where it is in a store of the objective's own."""

    name: str
    id: str
    kind: str


def render(facts: Facts, plots: Sequence[Plot]) -> str:
    """Returns the page."""
    scripts = (get_plotlyjs(), _resource("page.js"))
    # Named by digest: a script that got in by any other way does not run.
    digests = (base64.b64encode(hashlib.sha256(script.encode()).digest()).decode() for script in scripts)
    allowed = " ".join(f"'sha256-{digest}'" for digest in digests)
    titles = {plot.id: plot.title for plot in plots} | {"best": "Best trials"}
    order = [*(each for each in _FIRST if each in titles), *(each for each in titles if each not in _FIRST)]
    trials = _best(facts)
    rows = [(trial, list(_files(trial))) for trial in trials]
    names = list(dict.fromkeys(name for trial in trials for name in trial.params))
    return _template().render(
        facts=facts,
        summary=facts.summary,
        best=facts.summary.best,
        trials=facts.summary.trials,
        epochs=facts.summary.epochs,
        policy=Markup(
            f"default-src 'none'; script-src {allowed}; style-src 'unsafe-inline'; img-src data: blob:; font-src data:"
        ),
        scripts=[Markup(script) for script in scripts],
        style=Markup(_resource("page.css")),
        contents=[(id, titles[id]) for id in order] + list(_LAST.items()),
        plots={plot.id: plot for plot in plots},
        rows=rows,
        names=names,
        most_named=MOST_NAMED,
        has_files=any(files for _, files in rows),
        has_kept_files=any(KEPT in key for trial in trials for key in trial.system_attrs),
        failed=facts.of(TrialState.FAIL),
        most_failed=MOST_FAILED,
        figures=_figures(facts),
        trials_json=_harmless(table(facts)),
        spec_json=spec_json(facts.spec),
        origin=_origin(facts),
    )


@cache
def _template() -> Template:
    environment = Environment(
        loader=PackageLoader("orchestrator.report", "."),
        autoescape=True,
        undefined=StrictUndefined,
        keep_trailing_newline=True,
    )
    environment.filters |= {name: getattr(formatting, name) for name in ("count", "duration", "number", "numbers")}
    environment.filters |= {name: getattr(formatting, name) for name in ("param", "params", "percent")}
    environment.filters |= {"line": _line, "cause": cause_of, "failure": failure_of}
    environment.globals |= {"data_of": _data_of, "nothing": formatting.NOTHING}
    environment.globals |= {"none_feasible": formatting.NONE_FEASIBLE}
    return environment.get_template("page.html")


def _line(value: Any, most: int = 300) -> str:
    """Returns foreign text as one line of at most so many characters."""
    return cut(one_line(str(value)), most)


def spec_json(spec: Spec) -> str:
    """Returns the spec as it is stored, without what may be a secret, and without the keys that are not set."""
    return json.dumps(_set(spec.shown()), indent=2, ensure_ascii=False)


def _set(data: Any) -> Any:
    if not isinstance(data, dict):
        return data
    return {key: _set(value) for key, value in data.items() if value is not None}


def _best(facts: Facts) -> list[FrozenTrial]:
    if facts.single:
        return facts.ranked[:MOST_BEST]
    by_number = {trial.number: trial for trial in facts.trials}
    return [by_number[each.number] for each in (facts.summary.front or ())[:MOST_BEST]]


def _files(trial: FrozenTrial) -> Iterator[_File]:
    ours = {kept.id: kept.kind for kept in kept_of(trial)}
    for key, record in trial.system_attrs.items():
        if key.startswith(RECORD) and (name := filename_of(record)):
            id = key.removeprefix(RECORD)
            yield _File(name, id, ours.get(id, ""))


def _figures(facts: Facts) -> Iterator[tuple[str, str]]:
    """Yields the figures that need no plot, by name: time, audit and shadow rule."""
    summary, epochs = facts.summary, facts.summary.epochs
    there, asked = len(facts.trials), facts.spec.trials
    if facts.optunas:
        yield "trials", str(there)
    else:
        yield "trials", f"{there} of {asked} in the spec" if there <= asked else f"{there}; the spec says {asked}"
    share = "" if epochs.budget is None else f" of {epochs.budget} ({percent(epochs.trained, epochs.budget)})"
    yield "epochs", f"{epochs.trained} trained{share}"
    for name, measured in (("prune latency", summary.prune_latency_ms), ("slot gap", summary.slot_gap_ms)):
        if measured is not None:
            yield name, percentiles(measured)
    if summary.wall_s:
        yield "first start to last end", duration(summary.wall_s)
    if facts.seconds:
        yield "time on slots", duration(sum(facts.seconds.values()))
    if summary.audit is not None:
        yield from zip(("audit", "wrong prunes"), summary.audit.lines(), strict=False)
    if summary.shadow is not None:
        yield "shadow rule", _line("; ".join(summary.shadow.lines()))


def _origin(facts: Facts) -> Iterator[tuple[str, str]]:
    """Yields where the study is, when this was made, and by what."""
    made = datetime.fromtimestamp(facts.made, UTC)
    code = Markup("<code>{}</code>").format
    moment = Markup("<time datetime='{}'>{} UTC</time>")
    yield "report made", moment.format(made.isoformat(timespec="seconds"), f"{made:%Y-%m-%d %H:%M}")
    yield "stored in", code(_line(facts.summary.storage))
    yield "models and files in", code(_line(facts.artifacts))
    yield from facts.versions.items()


def _data_of(plot: Plot) -> Iterator[tuple[str, int, Markup]]:
    """Yields name, height in pixels, and JSON of each figure of a plot."""
    for name, figure in zip(plot.names(), plot.figures, strict=True):
        held = json.loads(figure.to_json())
        held["layout"].pop("template", None)
        height = int(held["layout"].get("height") or 380)
        yield name, height, _harmless(held)


def _harmless(data: Any) -> Markup:
    """Returns JSON in which nothing looks like the end of an element, whatever name a parameter has."""
    return Markup(json.dumps(data, separators=(",", ":")).translate(_HARMLESS))


_HARMLESS = str.maketrans({"<": "\\u003c", ">": "\\u003e", "&": "\\u0026", "\u2028": "\\u2028", "\u2029": "\\u2029"})


@cache
def _resource(name: str) -> str:
    return resources.files("orchestrator.report").joinpath(name).read_text(encoding="utf-8")
