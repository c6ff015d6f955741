"""Plots of what became of the trials: epochs trained and saved, stops, promotions and failures."""

from __future__ import annotations

import math
from collections import Counter
from typing import Any

import numpy as np
import plotly.graph_objects as go
from optuna.trial import FrozenTrial, TrialState

from orchestrator.common.formatting import count, duration, percent, percentiles
from orchestrator.report.facts import RETRIED, Facts
from orchestrator.report.plot import BLUE, GREEN, GREY, PURPLE, RED, Plot, bars, counted, figure, labels
from orchestrator.report.value_axis import of_points

BINS = 40
MOST_CAUSES = 15


def saved(facts: Facts) -> Plot:
    """Draws epochs by the end of their trial, beside those that pruning saved."""
    title, epochs = "Epochs, and what pruning saved", facts.summary.epochs
    if not epochs.trained:
        why = "No trial has reported an epoch." if facts.trials else "The study has no trials yet."
        return Plot("saved", title, absent=why)
    parts = [
        (name, sum(map(facts.trained, facts.of(state))), colour, shape)
        for name, state, colour, shape in (
            ("completed trials", TrialState.COMPLETE, BLUE, ""),
            ("pruned trials", TrialState.PRUNED, RED, "/"),
            ("failed trials", TrialState.FAIL, PURPLE, "x"),
            ("running trials", TrialState.RUNNING, GREY, "."),
        )
    ]
    if epochs.saved:
        parts.append(("saved by pruning", epochs.saved, GREEN, "\\"))
    drawn = [
        bars([amount], ["epochs"], f"{name}: {amount}", colour, shape, hovertemplate="%{x}<extra>" + name + "</extra>")
        for name, amount, colour, shape in parts
        if amount
    ]
    made = figure(
        *drawn,
        height=220,
        barmode="stack",
        showlegend=True,
        yaxis={"visible": False},
        xaxis=counted("epochs", sum(amount for _, amount, _, _ in parts)),
        legend_traceorder="normal",  # as the bars lie beside each other; for stacked ones plotly would turn it round
    )
    return Plot("saved", title, _saved_in_words(facts), (made,))


def _saved_in_words(facts: Facts) -> str:
    epochs = facts.summary.epochs
    text = f"{count(epochs.trained, 'epoch')} were trained."
    if epochs.saved is None:
        text += " What pruning saved is not known: the spec has no max_steps."
    elif not epochs.saved:
        text += " Pruning saved none."
    else:
        whole = epochs.trained + epochs.saved
        text += f" Without pruning there would have been {whole}: it saved {epochs.saved}"
        text += f" ({percent(epochs.saved, whole)})."
        if facts.seconds_saved:
            text += f" That is about {duration(facts.seconds_saved)} of slot time, at each trial's training pace."
    if facts.redone:
        text += f" {count(facts.redone, 'epoch')} had to be trained again after a loss."
    return text


def latency(facts: Facts) -> Plot:
    """Draws the time from the report that a trial was pruned for until its training had stopped."""
    title = "Prune latency"
    found = [row.latency for row in facts.attempts if row.latency is not None and row.verdict == "pruned"]
    times = [1000 * each for each in found if math.isfinite(each)]
    if not times:
        return Plot("latency", title, absent="No trial was stopped by a rule while it trained.")
    measured = facts.summary.prune_latency_ms or {}
    says = "From the report that a trial was pruned for until the exception in its training code."
    if measured:
        says += f" {percentiles(measured)}, {count(len(times), 'stop')}."
    axis = of_points(times, log=False)
    shown = [each for each in times if not axis.side(each)]
    if late := [each for each in times if axis.side(each)]:
        says += f" {count(len(late), 'stop')} beyond the axis took up to {duration(max(late) / 1000)}."
    # By Rice's rule, twice the cube root: enough for the shape, few enough that most of them hold some.
    bins = min(BINS, max(5, math.ceil(2 * math.cbrt(len(shown)))))
    amounts, edges = np.histogram(shown, bins=bins)
    drawn = go.Bar(
        x=(edges[1:] + edges[:-1]) / 2,
        y=amounts,
        width=np.diff(edges),
        marker={"color": BLUE, "line": {"width": 0.5, "color": "#ffffff"}},
        hovertemplate="%{y} at about %{x:.1f} ms<extra></extra>",
    )
    said = f"milliseconds; {len(late)} beyond" if late else "milliseconds"
    made = figure(drawn, height=320, xaxis_title=said, yaxis=counted("stops", max(amounts)), bargap=0)
    return Plot("latency", title, says, (made,))


def rungs(facts: Facts) -> Plot:
    """Draws how many trials reached each rung."""
    title, held = "Promotion rungs", facts.summary.rungs
    if not any(amount for _, amount in held):
        return Plot("rungs", title, absent="No trial has reached a rung yet.")
    promoted = sum(row.action == "promote" for row in facts.decisions)
    says = f"Trials that reached each rung. {count(promoted, 'time')} a trial went on from its rung to the next one."
    drawn = go.Bar(
        x=[f"epoch {step}" for step, _ in held],
        y=[amount for _, amount in held],
        text=[str(amount) for _, amount in held],
        textposition="auto",
        marker={"color": GREEN},
        hovertemplate="%{x}: %{y}<extra></extra>",
    )
    most = max(amount for _, amount in held)
    made = figure(drawn, height=320, xaxis={"type": "category"}, yaxis=counted("trials", most))
    return Plot("rungs", title, says, (made,))


def causes(facts: Facts) -> Plot:
    """Draws failed trials and lost attempts by cause."""
    title = "Failures by cause"
    failed = Counter(cause_of(trial) for trial in facts.of(TrialState.FAIL))
    retried = {(each.trial, each.attempt) for each in facts.intervals if each.kind == RETRIED}
    lost = Counter(row.cause or "lost" for row in facts.attempts if (row.trial, row.number) in retried)
    if not failed and not lost:
        return Plot("failures", title, absent="No trial has failed and no attempt was lost.")
    every = Counter(failed)
    every.update(lost)
    names = [name for name, _ in every.most_common(MOST_CAUSES)][::-1]
    says = f"{count(failed.total(), 'trial')} failed; {count(lost.total(), 'attempt')} were lost and tried again."
    if len(every) > MOST_CAUSES:
        says += f" Shown are the {MOST_CAUSES} most frequent of {len(every)} causes."
    drawn = [
        bars([found.get(name, 0) for name in names], list(labels(names).values()), kind, colour, shape)
        for kind, found, colour, shape in (("failed trials", failed, PURPLE, ""), ("lost attempts", lost, GREY, "/"))
        if found
    ]
    made = figure(
        *drawn,
        height=160 + 34 * len(names),
        barmode="stack",
        yaxis={"automargin": True, "type": "category"},
        xaxis=counted("number", every.most_common(1)[0][1]),
        showlegend=True,
        legend_traceorder="normal",
    )
    return Plot("failures", title, says, (made,))


def failure_of(trial: FrozenTrial) -> dict[str, Any]:
    """Returns the failure of a trial as the engine stores it; another program may have stored anything there."""
    found = trial.user_attrs.get("failure")
    return found if isinstance(found, dict) else {}


def cause_of(trial: FrozenTrial) -> str:
    """Returns the class of the exception, or else the cause."""
    failure = failure_of(trial)
    return str(failure.get("error") or failure.get("cause") or "not recorded")
