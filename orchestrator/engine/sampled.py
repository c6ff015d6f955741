"""The consequences of a sampler's answer: a trial can be sent, a parameter is replied with, or the study ends."""

from __future__ import annotations

from orchestrator.engine.state import Study
from orchestrator.model.changeset import AttemptRow
from orchestrator.model.study_states import GOES_ON
from orchestrator.sampling.questions import Answer
from orchestrator.sampling.trial_sampler import SamplerFailed
from tasks.contract import Reply, Suggest


def take(study: Study, answer: Answer, at: float) -> None:
    """Applies an answer of the sampler."""
    if answer.kind == "parameter":
        for token, (seq, body) in study.suggested.pop((answer.trial, answer.name), {}).items():
            suggest(study, study.attempts[token], seq, body, answer.error)
        return
    if answer.kind == "trial":
        study.attempts.let_go(answer.trial)
    if answer.kind == "end":
        study.trials.heard(answer.trial)
        study.artifacts.unsettle()
    row = study.attempts.live(answer.trial)
    if answer.error:
        if answer.kind == "trial" and row is not None:
            study.fail_unsampled(row, at)
        study.end("failed", f"the sampler failed: {answer.error}", at)
    row = study.attempts.live(answer.trial)
    stays = study.state in GOES_ON or not study.trials.is_open(answer.trial)
    if answer.kind == "trial" and row is not None and not stays:
        study.withdraw(row, at)


def suggest(study: Study, row: AttemptRow, seq: int, body: Suggest, error: str = "") -> None:
    """Replies with a parameter, or asks the sampler for it; ``error`` is how it has failed to give it."""
    if not study.runs_or_counts_late(row):
        return
    try:
        if error:
            raise SamplerFailed(error)
        value = study.trials.sampler.suggest(row.trial, body.name, body.distribution)
    except SamplerFailed as failed:
        reply = Reply(runner=row.runner, seq=seq, name=body.name, error=str(failed))
    else:
        if value is None:
            study.suggested.setdefault((row.trial, body.name), {})[row.token] = seq, body
            return
        reply = Reply(runner=row.runner, seq=seq, name=body.name, value=value)
    if not body.used:
        study.replies.append(reply)
