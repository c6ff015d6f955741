"""What went wrong: trials that failed and attempts that were lost, by cause."""

from __future__ import annotations

from collections import Counter
from typing import Any

import plotly.graph_objects as go
from optuna.trial import FrozenTrial, TrialState

from orchestrator.common.formatting import count
from orchestrator.report.facts import RETRIED, Facts
from orchestrator.report.plot import GREY, PURPLE, Plot, counted, figure, label, pattern

MOST_CAUSES = 15


def causes(facts: Facts) -> Plot:
    """Failed trials and lost attempts, by cause."""
    title = "Failures by cause"
    failed = Counter(cause_of(trial) for trial in facts.of(TrialState.FAIL))
    retried = {(each.trial, each.attempt) for each in facts.stints if each.kind == RETRIED}
    lost = Counter(row.cause or "lost" for row in facts.attempts if (row.trial, row.number) in retried)
    if not failed and not lost:
        return Plot("failures", title, absent="No trial has failed and no attempt was lost.")
    every = Counter(failed)
    every.update(lost)
    names = [name for name, _ in every.most_common(MOST_CAUSES)][::-1]
    says = f"{count(failed.total(), 'trial')} failed; {count(lost.total(), 'attempt')} were lost and tried again."
    if len(every) > MOST_CAUSES:
        says += f" Shown are the {MOST_CAUSES} most frequent of {len(every)} causes."
    bars = [
        go.Bar(
            x=[found.get(name, 0) for name in names],
            y=[label(name) for name in names],
            orientation="h",
            name=kind,
            marker={"color": colour, "pattern": pattern(shape)},
            hovertemplate="%{y}: %{x}<extra>" + kind + "</extra>",
        )
        for kind, found, colour, shape in (("failed trials", failed, PURPLE, ""), ("lost attempts", lost, GREY, "/"))
        if found
    ]
    made = figure(
        *bars,
        height=160 + 34 * len(names),
        barmode="stack",
        yaxis={"automargin": True, "type": "category"},
        xaxis=counted("number", every.most_common(1)[0][1]),
        showlegend=True,
        legend_traceorder="normal",
    )
    return Plot("failures", title, says, (made,))


def failure_of(trial: FrozenTrial) -> dict[str, Any]:
    """Returns how a trial failed, as the engine keeps it; other programs may have put anything there."""
    found = trial.user_attrs.get("failure")
    return found if isinstance(found, dict) else {}


def cause_of(trial: FrozenTrial) -> str:
    """Returns the class of the exception, or else what is known."""
    failure = failure_of(trial)
    return str(failure.get("error") or failure.get("cause") or "not recorded")
