"""Checks of the studies: where the database disagrees with Redis and the workers during the whole look."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator, Sequence
from dataclasses import replace

from orchestrator.common.advice import how_to
from orchestrator.common.formatting import count, duration, listed, silence
from orchestrator.doctor.checks.workers import QUEUE, silence_counts
from orchestrator.doctor.facts import Facts
from orchestrator.doctor.finding import Code, Finding, Reconcile, Severity
from orchestrator.doctor.table_facts import Attempt, FailedStudy, Study
from orchestrator.model.lifecycle import LIVE, TRAINING, AttemptState
from orchestrator.model.state_words import SUSPENDED, UNATTENDED, study_word
from orchestrator.model.study_states import HELD
from orchestrator.model.suspension import remedy
from tasks.objective_allowlist import OBJECTIVES
from tasks.program.allowlist import COMMANDS

_NOT_ADMITTED = re.compile(r"this worker does not admit '([^']+)'")
_ADMITTED = re.compile(r"admits ORCHESTRATOR_OBJECTIVES=(\S+?)(?:: add|;|$)")
_NO_BUNDLES = re.compile(r"this worker runs no code that is sent to it")
_SIGNED_BY = re.compile(r"it is signed with (?:the key '([^']+)'|no key that has a name)")
_NOT_RUN = re.compile(r"whose entries are separated by ; — (.+)$")
"""The words of a worker's refusals."""


def check(facts: Facts) -> Iterator[Finding]:
    """Yields the findings about the studies; nothing where the database cannot tell."""
    if facts.database.books is None:
        return
    yield _standing(facts)
    for study in facts.books.studies:
        if study.suspended:
            yield Code.STUDY_SUSPENDED.finding(
                f"study {study.name}",
                f"is suspended: {study.suspended}",
                f"{remedy(study.name)}; the control plane's log has more; deleting it frees its slots",
                command=f"orchestrator resume {shlex.quote(study.name)}",
            )
            continue
        if study.error:
            yield Code.STUDY_UNREADABLE.finding(
                f"study {study.name}", f"its spec cannot be read: {study.error}", "use the program version that made it"
            )
            continue
        yield from _held(study)
        yield from _outrun(facts, study)
        yield from _idle(facts, study)
        yield from _unattended(facts, study)
        yield from _overtaken(facts, study)
        if facts.redis.looked_at:
            yield from _unsent(facts, study)
            yield from _confirmations(facts, study)
            yield from _silent(facts, study)
            yield from _slow(facts, study)
            yield from _ignored(facts, study)
    if facts.redis.looked_at:
        yield from _fenced(facts)
    yield from _untold(facts)
    yield from _failed(facts)


def _standing(facts: Facts) -> Finding:
    books = facts.books
    trains = sum(each.state in TRAINING for each in books.attempts)
    waits = sum(each.state in (AttemptState.QUEUED, AttemptState.SENT) for each in books.attempts)
    names = listed(f"{each.name} ({_word(facts, each)})" for each in books.studies)
    bundles, size = books.code
    return Code.STUDIES.finding(
        f"{len(books.studies)} underway, {books.ended} ended",
        f"attempts: {trains} {'training' if facts.active else UNATTENDED}, {waits} queued"
        + (f"; code: {count(bundles, 'bundle')}, {size / 2**20:.1f} MiB" if bundles else "")
        + (f"; {names}" if names else ""),
    )


def _word(facts: Facts, study: Study) -> str:
    """Returns the word for a study's state, as ``ls`` has it."""
    if study.suspended:
        return SUSPENDED
    return UNATTENDED if not facts.active and study.state in ("running", "ending") else study_word(study.state)


def _mend(facts: Facts, study: Study) -> Reconcile | None:
    """A control plane that is active does it; where there is none, it does so when it starts."""
    return Reconcile(study.name) if facts.active else None


def _by_serve(facts: Facts, then: str) -> str:
    return then if facts.active else "serve mends it when it starts"


def _finding(
    code: Code, study: Study, attempts: Sequence[Attempt], text: str, remedy: str, mend: Reconcile | None
) -> Finding:
    about = f"study {study.name}, trial{'s' if len(attempts) > 1 else ''} {listed(each.trial for each in attempts)}"
    return code.finding(about, text, remedy, repair=mend)


def _held(study: Study) -> Iterator[Finding]:
    if study.state in HELD:
        yield Code.STUDY_HELD.finding(
            f"study {study.name}",
            f"is {study.state} with {study.trials} of {study.budget} trials: no more are asked for",
            f"{how_to('resume', study.name)} goes on with it, where that is wanted",
            command=f"orchestrator resume {shlex.quote(study.name)}",
        )


def _outrun(facts: Facts, study: Study) -> Iterator[Finding]:
    """A study whose trials wait while other studies have all slots of its queue."""
    slots = {sign.slot: sign.token for sign in facts.workers.signs if study.queue in sign.queues and sign.slot}
    owner = {each.token: each.study for each in facts.books.attempts if each.state in TRAINING}
    waits = facts.books.of(study.name, AttemptState.QUEUED, AttemptState.SENT)
    others = {owner[token] for token in slots.values() if token in owner}
    if not waits or not slots or study.name in others or not all(token in owner for token in slots.values()):
        return
    weights = {each.name: each.weight for each in facts.books.studies}
    known = listed(f"{name} (weight {weights.get(name, 1.0):g})" for name in sorted(others))
    yield Code.STUDY_OUTRUN.finding(
        f"study {study.name}",
        f"waits: {count(len(slots), 'slot')} of queue {study.queue} train {known}; its own weight is {study.weight:g}",
        "it gets the next slots that come free, by its weight; more workers, a greater `weight` in its spec, or a "
        f"pause of the others bring it forward: {how_to('pause', min(others))}",
        command=f"orchestrator pause {shlex.quote(min(others))}",
    )


def _failed(facts: Facts) -> Iterator[Finding]:
    for each in facts.books.failed:
        command = _admitting(each)
        remedy = "mend that, then run or submit its spec again"
        if command:
            remedy = "start its workers so, in the place of those that refuse it; then run or submit its spec again"
        yield Code.STUDY_FAILED.finding(
            f"study {each.name}",
            f"failed {duration(each.age)} ago: {each.reason}",
            remedy,
            command=command or f"orchestrator why {shlex.quote(each.name)} last",
        )


def _admitting(study: FailedStudy) -> str:
    """Returns the command of a worker that admits what a study could not run; empty where it failed otherwise."""
    admits, missing = dict[str, str](), ""
    if found := _NOT_ADMITTED.search(study.reason):
        missing = found[1]
    elif _NO_BUNDLES.search(study.reason):
        missing = "bundle:*"
    elif found := _SIGNED_BY.search(study.reason):
        missing = f"bundle:{found[1] or '*'}"
    if missing:
        already = _ADMITTED.search(study.reason)
        admits[OBJECTIVES] = ",".join(filter(None, [already and already[1], missing]))
        if study.program:
            # A worker looks at the program once it admits the code that comes with it.
            admits[COMMANDS] = study.program
    elif found := _NOT_RUN.search(study.reason):
        admits = ({OBJECTIVES: "bundle:*"} if study.sends_code else {}) | {COMMANDS: found[1]}
    queues = "" if study.queue == QUEUE else f" --queues {study.queue}"
    shown = " ".join(f"{variable}={shlex.quote(value)}" for variable, value in admits.items())
    return shown and f"{shown} orchestrator worker{queues}"


def _idle(facts: Facts, study: Study) -> Iterator[Finding]:
    moves = study.live or not study.steady or study.state not in ("running", "ending")
    if moves or not facts.active or (facts.redis.looked_at and not facts.workers.serving(study.queue)):
        return
    # A `run` looks after one study; the others wait for theirs.
    alone = facts.setup.alone
    yield Code.STUDY_IDLE.finding(
        f"study {study.name}",
        f"is {study.state} with {study.trials} of {study.budget} trials, and no control plane asks for the next one",
        f"{how_to('run', 'SPEC')} goes on with it"
        if alone
        else "the control plane's log says why it does not take it up, or that it was started with --study for another",
        repair=None if alone else Reconcile(study.name),
        severity=Severity.NOTE if alone else Severity.PROBLEM,
        command="" if not alone or facts.setup.running else f"orchestrator resume {shlex.quote(study.name)}",
    )


def _unattended(facts: Facts, study: Study) -> Iterator[Finding]:
    trials = [trial for name, trial in facts.books.unattended if name == study.name]
    if trials:
        yield Code.TRIAL_UNATTENDED.finding(
            f"study {study.name}, trial{'s' if len(trials) > 1 else ''} {listed(trials)}",
            "RUNNING in Optuna's table without an attempt: another program has asked for it",
            _by_serve(facts, "where no notebook trains it, --repair has it attempted here"),
            repair=_mend(facts, study),
        )


def _overtaken(facts: Facts, study: Study) -> Iterator[Finding]:
    states = (AttemptState.QUEUED, AttemptState.SENT, AttemptState.RUNNING, AttemptState.PAUSED)
    found = [each for each in facts.books.of(study.name, *states) if each.ended is not None]
    if found:
        text = "another program has ended the trial, and its attempt does not know it yet"
        remedy = _by_serve(facts, "--repair has it stopped")
        yield _finding(Code.ATTEMPT_OVERTAKEN, study, found, text, remedy, _mend(facts, study))


def _unsent(facts: Facts, study: Study) -> Iterator[Finding]:
    waiting = {item.token for queue in facts.redis.queues for item in queue.items}
    lease = facts.setup.lease
    if facts.active and waiting:
        # Where studies share a queue, the control plane keeps tasks back until it is their study's turn.
        return
    found = [
        each
        for each in facts.books.of(study.name, AttemptState.SENT)
        # The control plane looks for itself every lease.
        if each.token not in waiting and (not facts.active or each.age > lease)
    ]
    if found:
        text = f"sent {duration(max(each.age for each in found))} ago, not started, and in no queue"
        remedy = _by_serve(facts, f"the control plane sends it again within {duration(2 * lease)}")
        finding = _finding(Code.ATTEMPT_UNSENT, study, found, text, remedy, _mend(facts, study))
        if facts.setup.alone:
            # Of a search that was interrupted, while another one runs in the same folder.
            remedy = (
                f"a `run` sends it again within {duration(2 * lease)}; of another study, when its spec is run again"
            )
            finding = replace(finding, severity=Severity.NOTE, remedy=remedy, repair=None)
        yield finding


def _confirmations(facts: Facts, study: Study) -> Iterator[Finding]:
    found = [each for each in facts.books.of(study.name, *TRAINING) if each.token in facts.redis.unconfirmed]
    if found:
        text = "Redis lacks its confirmation, so its worker sends every event again and gets no verdict"
        remedy = _by_serve(facts, "see whether Redis evicts keys; the next event brings it back")
        yield _finding(Code.CONFIRMATION_MISSING, study, found, text, remedy, _mend(facts, study))


def _silent(facts: Facts, study: Study) -> Iterator[Finding]:
    if not silence_counts(facts):
        return
    heard = {(sign.token, sign.runner) for sign in facts.workers.signs}
    found = [each for each in facts.books.of(study.name, *TRAINING) if (each.token, each.runner) not in heard]
    if found:
        slots = listed(sorted({each.slot or "an unknown slot" for each in found}))
        text = f"no heartbeat for it from {slots} in {duration(facts.workers.listened)}"
        lost = f"after {duration(facts.setup.lease)} of silence it is attempted again"
        remedy = lost if facts.active else f"{lost}, once there is a control plane"
        yield _finding(Code.ATTEMPT_SILENT, study, found, text, remedy, None)


def _slow(facts: Facts, study: Study) -> Iterator[Finding]:
    for each in facts.books.of(study.name, AttemptState.RUNNING):
        if each.silent is not None and each.pace is not None:
            text = silence(each.silent, each.pace)
            remedy = f"{how_to('logs', study.name, each.trial)}; stall_timeout in the spec ends such an attempt"
            yield _finding(Code.TRIAL_SILENT, study, [each], text, remedy, None)


def _ignored(facts: Facts, study: Study) -> Iterator[Finding]:
    heard = {(sign.token, sign.runner) for sign in facts.workers.signs}
    patience = study.grace + facts.setup.lease
    for each in facts.books.of(study.name, AttemptState.STOPPING):
        if each.ended is not None and each.ended > patience and (each.token, each.runner) in heard:
            text = f"was told to stop {duration(each.ended)} ago, with {study.grace:g} s of grace, and still trains"
            remedy = f"{how_to('logs', study.name, each.trial)}; restart the worker of {each.slot}"
            yield _finding(Code.VERDICT_IGNORED, study, [each], text, remedy, _mend(facts, study))


def _fenced(facts: Facts) -> Iterator[Finding]:
    books, since = facts.books, facts.workers.listened + facts.setup.heartbeat
    bound = {each.token: each.runner for each in books.attempts if each.steady and each.runner}
    for sign in facts.workers.signs:
        if not sign.token:
            continue
        known = books.known.get(sign.token)
        over = known is not None and known.state not in LIVE and (known.ended or 0.0) > since
        if known is None or over or bound.get(sign.token, sign.runner) != sign.runner:
            yield Code.ATTEMPT_FENCED.finding(
                sign.slot or "a slot",
                "trains an attempt that has ended, or that another runner has taken over: its reports are dropped",
                "the control plane stops it at its next heartbeat"
                if facts.active
                else "a control plane stops it once there is one",
            )


def _untold(facts: Facts) -> Iterator[Finding]:
    for each in facts.books.untold:
        yield Code.NOTE_FAILED.finding(
            f"study {each.study}",
            f"notification '{each.event}' failed: the {each.kind} was given up {duration(each.age)} ago after "
            f"{count(each.tries, 'attempt')}: {each.detail}",
            "see [notify] in its spec, and whether the control plane reaches what is named there"
            if each.kind == "post"
            else "the control plane's log has the end of what the command has printed",
        )
