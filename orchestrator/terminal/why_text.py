"""The text of ``orchestrator why``: what became of a trial, and why, in words. It reads no database and no clock."""

from __future__ import annotations

import signal
from collections.abc import Iterator, Mapping
from typing import Any

from orchestrator.common.advice import how_to
from orchestrator.common.formatting import NOTHING, count, duration, number, numbers, one_line
from orchestrator.model.changeset import AttemptRow, DecisionAction, DecisionRow
from orchestrator.model.lifecycle import NOT_STARTED
from orchestrator.model.measurements import sentence
from orchestrator.model.records import TrialFacts
from orchestrator.model.state_words import UNATTENDED, study_word
from orchestrator.model.study_states import MOVES
from orchestrator.pruning import Decision, Direction, registry
from orchestrator.pruning.words import RuleWords
from orchestrator.terminal.log_view import traceback_lines
from tasks.constraints import is_feasible

_WAITING = ("queued", "sent")
_NOT_TOLD = ("promoted", NOT_STARTED)
"""Causes of attempts that were no try of the trial, or are told as something else."""
_MOST_ATTEMPTS = 5


def explain(trial: TrialFacts) -> str:
    """Returns what became of the trial and why, then further facts, a line each."""
    head, *rest = (line for line in Explanation(trial).lines() if line)
    return "\n".join([f"trial {trial.number} {head}", *(f"  {line}" for line in rest)])


class Explanation:
    """One trial's answer, line by line; the first line continues ``trial 9``."""

    def __init__(self, trial: TrialFacts) -> None:
        self._trial = trial
        spec = trial.study.spec or {}
        self._pruner: Mapping[str, Any] = spec.get("pruner") or {}
        self._shadow: Mapping[str, Any] = spec.get("shadow") or {}
        self._direction: Direction = trial.study.direction
        self._last: AttemptRow | None = trial.attempts[-1] if trial.attempts else None

    def lines(self) -> Iterator[str]:
        """Yields the lines; the caller leaves out empty ones."""
        state = self._trial.state
        if state == "PRUNED":
            yield from self._pruned()
        elif state == "COMPLETE":
            yield self._completed()
            yield self._closest("at its closest, ")
        elif state == "FAIL":
            yield from self._failed()
        elif state == "WAITING":
            again = self._trial.retry_of
            if self._last is not None:
                yield "waits to be asked for again: its study ended before it began, and its parameters stay"
                return
            whose = "parameters of its own" if again is None else f"the parameters of trial {again}"
            yield f"waits to be asked for: it was enqueued with {whose}"
        else:
            yield self._running()
            yield self._closest("closest so far: ")
        if self._trial.leads:
            yield "leading: no trial has completed yet, and none has reported better"
        yield from self._promotions()
        yield from self._outlooks()
        yield self._audited()
        yield self._shadowed()
        yield self._source()
        yield self._retries()
        yield from self._attempts()
        yield sentence(self._trial.measured)

    def first(self, action: DecisionAction) -> DecisionRow | None:
        """Returns the first decision that did this."""
        return next((row for row in self._trial.decisions if row.action == action), None)

    def stopped_attempt(self) -> AttemptRow | None:
        """Returns the attempt that a rule's verdict ended."""
        return next((row for row in reversed(self._trial.attempts) if row.verdict == "pruned"), None)

    # -- how it ended

    def _pruned(self) -> Iterator[str]:
        pruned, ended = self.first("prune"), self.first("end")
        if pruned is not None:
            words, decision = self._words(pruned.rule), _decision(pruned)
            yield f"was pruned {words.place(decision)}: {words.against(decision)}"
        elif ended is not None:
            yield (
                f"was on the rung of epoch {ended.step} with {number(ended.value)} and was not promoted: "
                f"{self._words(ended.rule).standing(_decision(ended), 'went on')}; it ended as PRUNED with the study"
            )
        elif self._last is not None and self._last.cause == "finished":
            yield f"was pruned by the objective itself{self._at_last_epoch()}"
        elif self._last is not None and self._last.cause.startswith("time: "):
            yield f"was pruned{self._at_last_epoch()} with its best value: it has trained for as long as a trial may"
        else:
            yield f"was ended as pruned{self._at_last_epoch()} by another program, which recorded no reason"
        details = [each for each in (self._stopped() if pruned is not None else "", self._untrained()) if each]
        yield f"({'; '.join(details)})" if details else ""

    def _stopped(self) -> str:
        attempt = self.stopped_attempt()
        if attempt is None:
            return ""
        if attempt.latency is not None:
            return f"stopped {_short(attempt.latency)} after the report of that epoch"
        if attempt.ended is None:
            return "its worker was told to stop and has not confirmed it yet"
        return ""

    def _untrained(self) -> str:
        full, trained = self._trial.study.max_steps, self._trial.trained
        return "" if full is None or full <= trained else f"{full - trained} of {count(full, 'epoch')} not trained"

    def _completed(self) -> str:
        study, trained = self._trial.study, self._trial.trained
        text = f"completed with {numbers(self._trial.values) or NOTHING} after {count(trained, 'epoch')}"
        order = study.ranking
        if not is_feasible(study.constraints.get(self._trial.number, ())) and self._trial.number not in order[:1]:
            best = f"trial {order[0]} is" if order else "no trial is"
            return f"{text}, and violates a constraint; {best} the best of those that violate none"
        if self._trial.number not in order:
            return text
        rank = order.index(self._trial.number) + 1
        of = count(len(order), "completed trial")
        if rank == 1:
            return f"{text}, the best of {of}" if len(order) > 1 else f"{text}, the only completed trial"
        best = f"trial {order[0]} is the best with {number(study.completed[order[0]])}"
        return f"{text}, the {_ordinal(rank)} best of {of}; {best}"

    def _failed(self) -> Iterator[str]:
        failure, study = self._trial.failure, self._trial.study
        cause, where = str(failure.get("cause", "")), self._at_last_epoch()
        if cause == "revoked":
            yield f"was stopped by a person{where}: its task was revoked"
        elif cause == NOT_STARTED:
            why = f", which {_ended(study.state, study.reason)}" if study.state != "running" else ""
            yield f"was never started: it was still in the queue at the end of its study{why}"
        elif cause.startswith("study "):
            # It may have gone on since, and its reason is that of its latest state.
            state = cause.removeprefix("study ")
            reason = study.reason if state == study.state else ""
            yield f"was ended{where} with its study, which {_ended(state, reason)}"
        elif not failure:
            yield f"was ended as failed{where} by another program, which recorded no reason"
        else:
            yield self._failure(failure, where)
            if kept := str(failure.get("traceback") or "").strip():
                yield from (f"  {line}" for line in traceback_lines(kept))
            yield self._printed()

    def _failure(self, failure: Mapping[str, Any], where: str) -> str:
        error, message = one_line(str(failure.get("error", ""))), one_line(str(failure.get("message", "")))
        text = f"failed{where}: {': '.join(each for each in (error, message) if each)}"
        code = failure.get("exit_code")
        return text if not isinstance(code, int) else f"{text} (exit code {code}{_signal(code)})"

    def _printed(self) -> str:
        host = self._last.host if self._last is not None else ""
        command = how_to("logs", self._trial.study.name, self._trial.number)
        return f"'{one_line(command)}' shows what it printed, on {one_line(host)}" if host else ""

    # -- where it stands

    def _running(self) -> str:
        last, trained = self._last, self._trial.trained
        if last is None:
            return "was created by another program, and no worker here trains it"
        if last.state == "paused":
            return self._on_rung()
        if last.state in _WAITING:
            study = self._trial.study
            state = study.state if study.attended or study.state not in MOVES else UNATTENDED
            held = "" if state == "running" else f", and the study is {study_word(state)}"
            if self.first("promote") is not None:
                return f"was promoted and waits in the queue with {count(trained, 'epoch')} trained{held}"
            if any(row.cause not in _NOT_TOLD for row in self._trial.attempts[:-1]):
                return f"waits in the queue for attempt {last.number}, {count(trained, 'epoch')} trained{held}"
            return f"has not begun: it waits in the queue{held}"
        where = ", ".join(one_line(each) for each in (last.host, last.device) if each)
        verb = f"is being stopped ({last.verdict})" if last.state == "stopping" else "is running"
        if not self._trial.study.attended:
            verb = "is unattended: when a control plane was last seen, it was running"
        if not trained:
            return f"{verb}, no epoch reported yet{f', on {where}' if where else ''}"
        step, value = self._latest()
        full = self._trial.study.max_steps
        of = f" of {full}" if full is not None else ""
        text = f"{verb} at epoch {step} with {number(value)}, {trained}{of} epochs trained"
        return f"{text}, on {where}" if where else text

    def _on_rung(self) -> str:
        standing = self._trial.standing
        if standing is None:
            return f"is on a rung{self._at_last_epoch()}"
        where = self._words(standing.rule).standing(standing, "goes on")
        return f"is on the rung of epoch {standing.step} with {number(standing.value)}: {where}"

    def _closest(self, lead: str) -> str:
        row = self._trial.closest
        if self._trial.expectations:
            return ""
        if row is not None:
            margin = self._words(row.rule).margin(_decision(row))
            return f"{lead}at epoch {row.step}, {number(row.value)} was {margin}"
        rule = self._pruner.get("name", "none")
        if rule == "none" or not self._trial.steps or self._pruner.get("mode", "stopping") != "stopping":
            return ""
        if self.first("audit") is not None:
            return ""
        return f"the rule {rule} never had anything to compare it with"

    # -- what else there is

    def _promotions(self) -> Iterator[str]:
        for row in self._trial.decisions:
            if row.action == "promote":
                yield self._words(row.rule).promoted(_decision(row))

    def _outlooks(self) -> Iterator[str]:
        """Yields how a trial that was not stopped was expected to end; of one that paused, its promotions say so."""
        if self._pruner.get("mode") == "stopping" and self._trial.state in ("COMPLETE", "RUNNING"):
            for each in self._trial.expectations:
                if each.following > each.step:
                    yield f"at epoch {each.step}: {each.text()}"

    def _audited(self) -> str:
        row = self.first("audit")
        if row is None:
            return ""
        words, decision = self._words(row.rule), _decision(row)
        place, comparison = words.place(decision), words.against(decision)
        return f"condemned by {row.rule} {place}, and let run on as an audit: {comparison}"

    def _shadowed(self) -> str:
        row = self.first("shadow")
        if row is None:
            return ""
        words, decision = registry.words(row.rule, self._shadow, self._direction), _decision(row)
        return f"the shadow rule {row.rule} would have pruned it {words.place(decision)}: {words.against(decision)}"

    def _source(self) -> str:
        source, first = self._trial.source, self._trial.first_source
        other = bool(source) and first is not None and source != first[1]
        than = f" than trial {first[0]}" if other and first is not None else ""
        code = (self._trial.study.spec or {}).get("code") or {}
        if source and code.get("bundle"):
            return f"ran the code {source[:12]}" + (f", other code{than}" if other else "")
        return f"trained with other source{than}" if other else ""

    def _retries(self) -> str:
        again, retries = self._trial.retry_of, self._trial.retries
        of = f"retry of trial {again}" if again is not None and self._trial.state != "WAITING" else ""
        plural = "s" if len(retries) > 1 else ""
        by = f"retried as trial{plural} {', '.join(map(str, retries))}" if retries else ""
        return "; ".join(each for each in (of, by) if each)

    def _attempts(self) -> Iterator[str]:
        earlier = [row for row in self._trial.attempts[:-1] if row.cause not in _NOT_TOLD]
        if earlier:
            yield f"attempted {len(earlier) + 1} times"
        for row in earlier[-_MOST_ATTEMPTS:]:
            where = f" on {one_line(row.host)}" if row.host else ""
            lasted = row.ended - row.started if row.ended is not None and row.started is not None else None
            after = f" after {duration(lasted)}" if lasted is not None and lasted >= 0 else ""
            yield f"attempt {row.number}{where} ended{after}: {one_line(row.cause) or row.state}"
        if self._trial.redone:
            were = "was" if self._trial.redone == 1 else "were"
            yield f"{count(self._trial.redone, 'epoch')} {were} trained again; the first values stand"

    def _words(self, rule: str) -> RuleWords:
        return registry.words(rule, self._pruner, self._direction, self._trial.expectations)

    def _latest(self) -> tuple[int, float]:
        step = max(self._trial.steps)
        return step, self._trial.steps[step]

    def _at_last_epoch(self) -> str:
        return f" at epoch {max(self._trial.steps)}" if self._trial.steps else ""


def _decision(row: DecisionRow) -> Decision:
    return Decision(row.action != "keep", row.rule, row.step, row.value, row.threshold, row.peers)


def _ended(state: str, reason: str) -> str:
    text = {"finished": "finished", "failed": "failed", "stopped": "was stopped"}.get(state, f"is {study_word(state)}")
    return f"{text} ({one_line(reason)})" if reason else text


def _short(seconds: float) -> str:
    return f"{seconds * 1000:.1f} ms" if seconds < 1 else duration(seconds)


def _signal(code: int) -> str:
    if code >= 0:
        return ""
    try:
        return f", killed by {signal.Signals(-code).name}"
    except ValueError:
        return f", killed by signal {-code}"


def _ordinal(rank: int) -> str:
    if 10 <= rank % 100 <= 20:
        return f"{rank}th"
    return f"{rank}{ {1: 'st', 2: 'nd', 3: 'rd'}.get(rank % 10, 'th') }"
