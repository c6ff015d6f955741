"""What of the report is words and tables, as HTML. Every text of the study's goes through ``text``."""

from __future__ import annotations

import html
import json
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import Any

from optuna.trial import FrozenTrial, TrialState

from orchestrator.common.formatting import (
    NONE_FEASIBLE,
    NOTHING,
    count,
    duration,
    number,
    numbers,
    one_line,
    param,
    params,
    percent,
)
from orchestrator.engine.artifacts import KEPT, RECORD, kept_of
from orchestrator.report.facts import Facts
from orchestrator.report.failure_plots import cause_of, failure_of

MOST_BEST = 10
MOST_FAILED = 20
MOST_COLUMNS = 8
"""Of parameters; of more than these each cell would be a word wide."""
_LONGEST = 300
_CLASSES = {"parameters": "params", "models and files": "files", "message": "files"}


def text(value: Any, most: int = _LONGEST) -> str:
    """Returns foreign text as HTML: one line, cut, escaped."""
    line = one_line(str(value))
    return html.escape(line if len(line) <= most else line[: most - 1] + "…")


def verdict(facts: Facts) -> str:
    """Returns the result in words: the first thing one reads."""
    summary, trials = facts.summary, facts.summary.trials
    ended = trials.complete + trials.pruned + trials.failed
    state = f"<strong>{text(summary.state)}</strong>" + (f" ({text(summary.reason)})" if summary.reason else "")
    said = [f"The search is {state}: {count(ended, 'trial')} ended,"]
    if facts.optunas:
        said = [f"The search was made by Optuna, and this program has not run it: {count(ended, 'trial')} ended,"]
    said.append(f"{trials.complete} complete, {trials.pruned} pruned, {trials.failed} failed.")
    if summary.best is not None:
        found = f"<strong>{number(summary.best.value)}</strong> by trial {summary.best.number}"
        with_ = ", ".join(text(each, 80) for each in params(summary.best.params))
        said.append(f"The best value is {found}{f' with {with_}' if with_ else ''}.")
    elif summary.front:
        said.append(f"Its Pareto front has {count(len(summary.front), 'trial')}.")
    else:
        why = NONE_FEASIBLE if trials.complete else "none completed"
        said.append(f"There is no best trial: {why}.")
    paragraphs = [" ".join(said)]
    if summary.epochs.saved:
        whole = summary.epochs.trained + summary.epochs.saved
        saved = f"Pruning left out {summary.epochs.saved} of {whole} epochs ({percent(summary.epochs.saved, whole)})"
        if facts.seconds_saved:
            saved += f", about {duration(facts.seconds_saved)} of slot time"
        paragraphs.append(f"{saved}.")
    if summary.model is not None:
        name, id, place = map(text, (summary.model.filename, summary.model.artifact_id, summary.model.location))
        which = f"<strong>{name}</strong>, id <code>{id}</code>, at <code>{place}</code>"
        paragraphs.append(f"The model of the best trial is {which}.")
    elif summary.best is not None:
        paragraphs.append("No model of the best trial was saved.")
    return "".join(f"<p>{each}</p>" for each in paragraphs)


def figures(facts: Facts) -> str:
    """Returns the figures that need no plot: time, audit and shadow rules."""
    summary = facts.summary
    there, asked = len(facts.trials), facts.spec.trials
    rows = [("trials", f"{there} of {asked} in the spec" if there <= asked else f"{there}; the spec says {asked}")]
    if facts.optunas:
        rows = [("trials", str(there))]
    epochs = f"{summary.epochs.trained} trained"
    if summary.epochs.budget is not None:
        epochs += f" of {summary.epochs.budget} ({percent(summary.epochs.trained, summary.epochs.budget)})"
    rows.append(("epochs", epochs))
    for label, measured in (("prune latency", summary.prune_latency_ms), ("slot gap", summary.slot_gap_ms)):
        if measured is not None:
            rows.append((label, f"{measured['p50']:.2f} ms (median), {measured['p99']:.2f} ms (99th percentile)"))
    if summary.wall_s:
        rows.append(("first start to last end", duration(summary.wall_s)))
    if summary.audit is not None:
        audit = summary.audit
        rows.append(("audit", f"{count(audit.condemned, 'condemned trial')} ran on, {audit.completed} completed"))
        if audit.completed:
            share = f"{audit.better} ({percent(audit.better, audit.completed)}) ended better than the median trial"
            rows.append(("wrong prunes", f"{share}, {audit.best} as the best"))
    if summary.shadow is not None:
        shadow = summary.shadow
        said = f"{text(shadow.rule)} would have pruned {count(shadow.pruned, 'trial')}"
        said += f": {count(shadow.saved, 'epoch')} less"
        rows.append(("shadow rule", f"{said}; the winner {'' if shadow.winner else 'not '}among them"))
    return _pairs(rows)


def best(facts: Facts) -> str:
    """Returns the best trials with parameters and the files that were saved of each."""
    if facts.single:
        trials = facts.ranked[:MOST_BEST]
    else:
        by_number = {trial.number: trial for trial in facts.trials}
        trials = [by_number[each.number] for each in (facts.summary.front or ())[:MOST_BEST]]
    if not trials:
        return f"<p class=absent>{'No trial has completed.' if facts.trials else 'The study has no trials yet.'}</p>"
    names = list(dict.fromkeys(name for trial in trials for name in trial.params))
    apart = len(names) <= MOST_COLUMNS
    files = ["<br>".join(_files(trial)) for trial in trials]
    rows = [
        [
            str(trial.number),
            numbers(trial.values or ()),
            str(facts.trained(trial)),
            *(_params_apart(trial, names) if apart else [", ".join(text(each, 100) for each in params(trial.params))]),
            *([saved or NOTHING] if any(files) else []),
        ]
        for trial, saved in zip(trials, files, strict=True)
    ]
    heads = ["trial", "value" if facts.single else "values", "epochs"]
    heads += [text(name, 40) for name in names] if apart else ["parameters"]
    notes = [] if facts.single else ["Of the Pareto front, by the first objective."]
    if any(KEPT in key for trial in trials for key in trial.system_attrs):
        notes.append(f"Models and files lie in <code>{text(facts.artifacts)}</code>, each under its id.")
    above = f"<p>{' '.join(notes)}</p>" if notes else ""
    return above + _table([*heads, "models and files"] if any(files) else heads, rows)


def _params_apart(trial: FrozenTrial, names: Sequence[str]) -> Iterator[str]:
    for name in names:
        yield text(param(trial.params[name]), 60) if name in trial.params else NOTHING


def _files(trial: FrozenTrial) -> Iterator[str]:
    ours = {kept.id: kept for kept in kept_of(trial)}
    for key, record in trial.system_attrs.items():
        if not key.startswith(RECORD):
            continue
        id = key.removeprefix(RECORD)
        name = _filename(record)
        if not name:
            continue
        if id in ours and KEPT + id in trial.system_attrs:
            yield f"{text(name)} ({text(ours[id].kind)}), id <code>{text(id)}</code>"
        else:
            yield f"{text(name)}, id <code>{text(id)}</code>, in a store of the objective's own"


def _filename(record: Any) -> str:
    # The dashboard empties a record when a person deletes the file.
    try:
        return str(json.loads(record)["filename"])
    except (TypeError, ValueError, KeyError):
        return ""


def failed(facts: Facts) -> str:
    """Returns the trials that failed, with what they said."""
    trials = facts.of(TrialState.FAIL)
    if not trials:
        return ""
    rows = [
        [
            str(trial.number),
            text(cause_of(trial), 80),
            text(failure_of(trial).get("message", "")) or NOTHING,
            str(facts.trained(trial)),
        ]
        for trial in trials[:MOST_FAILED]
    ]
    more = f"<p>{len(trials) - MOST_FAILED} more failed.</p>" if len(trials) > MOST_FAILED else ""
    return _table(["trial", "cause", "message", "epochs"], rows) + more


def spec(facts: Facts) -> str:
    """Returns the spec as it is stored, without what may be a secret."""
    if facts.optunas:
        return "<p class=absent>Optuna has made the study, from no spec.</p>"
    shown = json.dumps(facts.spec.shown(), indent=2, ensure_ascii=False)
    return f"<pre tabindex=0 aria-label='spec'>{html.escape(shown)}</pre>"


def origin(facts: Facts) -> str:
    """Returns where the study is, when this was made, and by what."""
    made = datetime.fromtimestamp(facts.made, UTC)
    rows = [
        ("report made", f"<time datetime='{made.isoformat(timespec='seconds')}'>{made:%Y-%m-%d %H:%M} UTC</time>"),
        ("stored in", f"<code>{text(facts.summary.storage)}</code>"),
        ("models and files in", f"<code>{text(facts.artifacts)}</code>"),
        *((text(program), text(version)) for program, version in facts.versions.items()),
    ]
    return _pairs(rows)


def _pairs(rows: Sequence[tuple[str, str]]) -> str:
    lines = "".join(f"<tr><th scope=row>{name}</th><td>{value}</td></tr>" for name, value in rows)
    return f"<div class=table><table class=pairs>{lines}</table></div>"


def _table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    head = "".join(f"<th scope=col>{each}</th>" for each in heads)
    body = "".join(
        "<tr>"
        + "".join(f"<td class={_CLASSES.get(head, 'plain')}>{cell}</td>" for head, cell in zip(heads, row, strict=True))
        + "</tr>"
        for row in rows
    )
    return f"<div class=table tabindex=0><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>"
