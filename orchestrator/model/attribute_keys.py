"""Keys of the attributes that this program and Optuna keep with trials and studies.

Notebooks and optuna-dashboard show the user attributes among them.
"""

from __future__ import annotations

import json
from typing import Any, Final

DECISION = "pruned_by"
FAILURE = "failure"
SOURCE = "source"
RETRY_OF = "retry_of"
"""User attributes of a trial: why it was pruned, how it failed, the digest of its objective's source, the number of the
trial whose parameters it was made with."""

AUDITED = "audited"
SHADOW = "shadow_pruned_by"
"""User attributes of a trial: the decision that condemned it although it was let run on, and the one that the shadow
rule would have taken. Each with ``reports``, how many reports the trial had made by then: that much of it the rule has
seen, so that it can be told the same again."""

FIXED = "fixed_params"
EXTRA = "orchestrator:extra"
WITHIN = "orchestrator:within"
"""System attributes of a trial: where Optuna keeps an enqueued one's parameters, that it is beside the budget, and that
an objective has enqueued it, so that it waits until the budget has room for it."""

RETURNED = "orchestrator:returned"
"""System attribute of a trial that waits again: it was asked for, and its study ended before it began. What was sampled
for it stays, so that the sampler is not asked a second time. It is removed when the trial is asked for again."""

AHEAD = "orchestrator:ahead"
RELATIVE = "orchestrator:relative"
"""System attributes of a trial, as {name: [internal value, distribution]}: parameters that were sampled ahead for it,
and those that the sampler draws together; the objective may take some of them later. Drawn once, they are the same
after a restart, when the sampler would know more and draw others."""

ASKED = "orchestrator:asked"
"""System attribute of a trial for which the sampler has not answered yet: the place of the fold that its answer depends
on; see ``questions.Horizon``. It is removed with the answer."""

JUDGED = "orchestrator:judged"
"""System attribute of a trial that waits for the verdict of a pruner class of the user's own: a list of [step, [place
of the fold, rules that are asked]]. It is removed with the last answer."""

MARKS = frozenset({ASKED, JUDGED})
"""System attributes that say what is asked, and that the code which is asked does not see."""

MEASURED = "orchestrator:measured"
"""System attribute of a trial: what its workers measured, the highest value of its attempts by name; see
``measurements.Measurement``. It may change after the trial has ended, when its last attempt does."""

SUSPENDED = "orchestrator:suspended"
"""System attribute of a study: why nothing is done for it, and since when; see ``suspension.Suspension``."""

SILENT = "orchestrator:silent"
"""System attribute of a trial: since when it has been silent, see ``silence.Silence``; null when it no longer is."""

FLAGGED = "orchestrator_flagged"
"""User attribute of a study: in what it is worse than the last run; null where it was compared and is not."""


RECORD: Final = "artifacts:"
"""Prefix of the system attributes in which Optuna keeps the records of artifacts."""

KEPT: Final = "orchestrator:artifact:"
"""Prefix of the system attributes of artifacts in our store: kind, size in bytes, time of upload."""


def filename_of(record: Any) -> str:
    """Returns the name in a record of Optuna's; empty where another program has emptied it, as the dashboard does when
    a person deletes the file."""
    try:
        return str(json.loads(record)["filename"])
    except (TypeError, ValueError, KeyError):
        return ""
