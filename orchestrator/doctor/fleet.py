"""The workers of a fleet, or of a `run`: what each trains, and draining one."""

from __future__ import annotations

import re
from collections import defaultdict
from contextlib import closing

from orchestrator.common.advice import how_to
from orchestrator.common.data_folder import storage_url_of
from orchestrator.common.errors import BadInput, OrchestratorError, did_you_mean
from orchestrator.common.settings import Settings
from orchestrator.doctor.facts import Sign, Workers
from orchestrator.doctor.gather import as_announced, listen, setup_of
from orchestrator.doctor.table_facts import Attempt, TableFacts
from orchestrator.messaging.redis_check import answering_redis
from orchestrator.model.fleet import FleetSlot, FleetWorker
from orchestrator.model.lifecycle import TRAINING
from tasks.app import DRAIN, connect, create_app

ANSWER_SECONDS = 2.0
_OF_A_RUN = re.compile(r"run-\d+(-\d+)?@")


def read_fleet(settings: Settings) -> list[FleetWorker]:
    """Returns the workers, by name; listens for some heartbeats, which takes seconds.

    Where the database is not reached, what the slots train is not known, only that they do.

    Raises:
        BadInput: there is no Redis to ask, or it is not reached.
    """
    from orchestrator.doctor.database_probe import read_database

    url, storage_url = answering_redis(settings), storage_url_of(settings)
    before = read_database(storage_url).books or TableFacts()
    with closing(connect(url)) as client:
        setup = as_announced(setup_of(settings), client, before, settings.keyring())
    workers = listen(url, before, setup, settings.keyring())
    return assemble(workers, before, read_database(storage_url).books or before)


def assemble(workers: Workers, before: TableFacts, after: TableFacts) -> list[FleetWorker]:
    """Returns the workers that have answered, were heard, or train something by the database.

    Args:
        workers: What was heard.
        before, after: The database before and after the listening: of trials that are short, some are in one alone.
    """
    now = {each.token: each for each in after.attempts if each.state in TRAINING}
    attempts = {each.token: each for each in before.attempts if each.state in TRAINING} | now
    slots: dict[str, dict[str, FleetSlot]] = defaultdict(dict)
    queues: dict[str, set[str]] = defaultdict(set)
    for each in now.values():
        slots[each.slot.rpartition("/")[0]][each.slot] = FleetSlot(
            each.slot, study=each.study, trial=each.trial, busy=True
        )
    # Of a slot that was heard with several trials, the one that it trains now counts; between two, the one before.
    for sign in sorted(workers.signs, key=lambda sign: (bool(sign.token), sign.token in attempts, sign.token in now)):
        if sign.slot:
            slots[sign.worker][sign.slot] = _heard(sign, attempts.get(sign.token), workers.heard.get(sign.slot))
            queues[sign.worker].update(sign.queues)
    answered = {each.name: each for each in workers.workers}
    return [
        FleetWorker(
            name,
            name.rpartition("@")[2],
            tuple(sorted(queues[name] | set(answered[name].queues if name in answered else ()))),
            answers=name in answered,
            capacity=answered[name].slots if name in answered else None,
            draining=name in answered and answered[name].draining,
            slots=tuple(slots[name][slot] for slot in sorted(slots[name])),
        )
        for name in sorted({*answered, *slots} - {""})
    ]


def drain(settings: Settings, name: str) -> str:
    """Has a worker take no more trials, finish those that run, and end; returns its whole name.

    Args:
        settings: Where Redis is.
        name: Its name, with or without ``@host``.

    Raises:
        BadInput: no worker of that name answers, several do, or it belongs to a `run`.
        OrchestratorError: it does not know the command, for it is of an earlier version.
    """
    url = answering_redis(settings)
    with closing(create_app(url)) as app:
        answers = app.control.broadcast("ping", reply=True, timeout=ANSWER_SECONDS)
        known = sorted({each for answer in answers for each in answer})
        whole = _find(name, known)
        said = app.control.broadcast(DRAIN, destination=[whole], reply=True, timeout=ANSWER_SECONDS, limit=1)
    if not any("ok" in answer.get(whole, {}) for answer in said):
        raise OrchestratorError(
            f"worker '{whole}' does not know how to drain: SIGTERM has it hand its trials back, and end"
        )
    return whole


def _find(name: str, known: list[str]) -> str:
    found = [each for each in known if name in (each, each.partition("@")[0])]
    if len(found) > 1:
        raise BadInput(f"worker '{name}'", "several answer by that name", f"give one of {', '.join(found)}")
    if not found:
        remedy = did_you_mean(name, known) if known else f"no worker answers; '{how_to('doctor')}' says why"
        raise BadInput(f"worker '{name}'", "none of that name answers", remedy)
    if _OF_A_RUN.match(found[0]):
        raise BadInput(
            f"worker '{name}'", "belongs to a `run`, and ends with it", "stop that with Ctrl-C, or its study"
        )
    return found[0]


def _heard(sign: Sign, attempt: Attempt | None, heard: float | None) -> FleetSlot:
    study, trial = ("", None) if attempt is None else (attempt.study, attempt.trial)
    return FleetSlot(sign.slot, sign.device, study, trial, bool(sign.token), heard, sign.trouble)
