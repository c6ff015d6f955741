"""Reads the facts of a report from the database."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib import metadata
from typing import Any

import msgspec

from orchestrator.common.data_folder import storage_url_of
from orchestrator.common.settings import Settings
from orchestrator.common.urls import redact
from orchestrator.queries.readonly import open_study_reader
from orchestrator.queries.study_summary import summary_of
from orchestrator.report.facts import Facts

_METRIC_NAMES = "study:metric_names"
_PROGRAMS = ("trial-orchestrator", "optuna", "torch", "celery", "plotly", "matplotlib")


def read(settings: Settings, name: str, clock: Callable[[], float]) -> Facts:
    """Reads a study, in one transaction.

    Raises:
        BadInput: there is no such study.
    """
    url = storage_url_of(settings)
    artifacts = settings.artifact_url or str(settings.data_dir.resolve() / "artifacts")
    with open_study_reader(url) as history:
        whole = history.load(name)
        state = history.overview(name).progress.state
    attempts = whole.snapshot.attempts
    latencies = [row.latency for row in attempts if row.latency is not None and row.verdict == "pruned"]
    gaps = [row.gap for row in attempts if row.gap is not None]
    made = clock()
    begun = [row.started for row in attempts if row.started is not None]
    # An attempt that runs ends now.
    ended = [made if row.ended is None else row.ended for row in attempts if row.started is not None]
    wall = max(ended, default=0.0) - min(begun, default=0.0)
    summary = summary_of(whole.snapshot, latencies, gaps, url, artifacts, wall)
    return Facts(
        summary=msgspec.structs.replace(summary, state=state),
        spec=whole.snapshot.spec,
        trials=whole.snapshot.trials,
        attempts=attempts,
        decisions=whole.decisions,
        redone=whole.redone,
        artifacts=redact(artifacts),
        made=made,
        state=state,
        versions=_versions(),
        metric_names=_metric_names(whole.snapshot.study_system_attrs),
    )


def _metric_names(system_attrs: Mapping[str, Any]) -> list[str]:
    """Returns what ``Study.set_metric_names`` has stored; another program may have stored anything there."""
    found = system_attrs.get(_METRIC_NAMES)
    return list(map(str, found)) if isinstance(found, list) else []


def _versions() -> dict[str, str]:
    found = {}
    for program in _PROGRAMS:
        try:
            found[program] = metadata.version(program)
        except metadata.PackageNotFoundError:
            continue
    return found
