"""Checks of the workers: replies, heartbeats of their slots, versions of the protocol."""

from __future__ import annotations

import re
import shlex
from collections import defaultdict
from collections.abc import Iterator

from orchestrator.common.formatting import count, duration, listed
from orchestrator.doctor.checks.redis import FULL
from orchestrator.doctor.facts import Facts, Worker
from orchestrator.doctor.finding import Code, Finding, Severity

QUEUE = "trials"
"""The queue that a worker serves where none is named."""

_TITLES = {"python": "Python", "celery": "Celery", "optuna": "Optuna"}


def check(facts: Facts) -> Iterator[Finding]:
    """Yields the findings about the workers; nothing where Redis cannot be asked."""
    if not facts.redis.looked_at:
        return
    if facts.workers.unsigned:
        yield _keys(
            f"what workers send is {facts.workers.unsigned}: a control plane with keys of this shell records nothing"
        )
    elif unsigned := [item.wrong for queue in facts.redis.queues for item in queue.items if item.unsigned]:
        why = unsigned[0].partition(": ")[2]
        yield _keys(f"what the control plane sends is {why}: workers with the keys of this shell take no trial of it")
    elif facts.workers.error:
        full = facts.redis.fill > FULL
        yield Code.WORKERS_UNKNOWN.finding(
            "",
            f"could not be queried: {facts.workers.error}",
            "make room in Redis, which takes no requests to them and no heartbeats from them now"
            if full
            else "allow this user the channels of Celery's remote control: ACL SETUSER … allchannels",
        )
    if facts.workers.workers or facts.workers.signs:
        yield _answer(facts)
    elif not facts.workers.error:
        yield _missing(facts)
    yield from _without_room(facts)
    yield from _silent(facts)
    yield from _names_and_versions(facts)
    yield from _protocol(facts)
    yield from _code(facts)


def _keys(text: str) -> Finding:
    return Code.KEYS_DIFFER.finding(
        "ORCHESTRATOR_SIGNING_KEY",
        text,
        "give serve, workers and this shell the same keys, by ORCHESTRATOR_SIGNING_KEY or "
        "ORCHESTRATOR_SIGNING_KEY_FILE; a fleet with keys of its own needs a Redis of its own",
    )


def _missing(facts: Facts) -> Finding:
    waiting = [each.name for each in facts.books.waiting]
    queues = sorted({each.queue for each in facts.books.waiting})
    command = "orchestrator worker" if queues in ([], [QUEUE]) else f"orchestrator worker --queues {','.join(queues)}"
    return Code.WORKER_MISSING.finding(
        "",
        "no worker answers, and no slot sends heartbeats"
        + (f"; nothing trains for {listed(waiting)}" if waiting else ""),
        f"start one on every machine that trains, with the same ORCHESTRATOR_REDIS_URL: {command}; one that ends at "
        "once says why: another version, or another key",
        command="" if facts.setup.alone else command,
        severity=Severity.PROBLEM if waiting else Severity.NOTE,
    )


def _answer(facts: Facts) -> Finding:
    workers = facts.workers
    slots = {sign.slot for sign in workers.signs if sign.slot}
    busy = {sign.slot for sign in workers.signs if sign.token}
    names = {each.name for each in workers.workers} | {sign.worker for sign in workers.signs if sign.worker}
    text = f"{count(len(slots), 'slot')}, {len(busy)} busy"
    return Code.WORKERS.finding(count(len(names), "worker"), f"{text}: {listed(sorted(names))}")


def _without_room(facts: Facts) -> Iterator[Finding]:
    troubles = {(sign.host, sign.trouble) for sign in facts.workers.signs if sign.trouble}
    for host, trouble in sorted(troubles):
        folder = re.search(r": (/.+)$", trouble)
        disk = shlex.quote(folder[1]) if folder else ""
        yield Code.HOST_WITHOUT_ROOM.finding(
            host,
            f"cannot train now, and takes no trials: {trouble}",
            ("make room there" if folder else "end processes there, or raise the limit of them")
            + "; its workers check once a second, and go on by themselves",
            command=f"df -h {disk} && df -i {disk}" if folder else "ulimit -a",
        )


def _silent(facts: Facts) -> Iterator[Finding]:
    workers = facts.workers
    heard: dict[str, set[str]] = defaultdict(set)
    for sign in workers.signs:
        if sign.worker:
            heard[sign.worker].add(sign.slot)
    answered = {each.name for each in workers.workers}
    for name in sorted(heard.keys() - answered) if not workers.error else ():
        yield Code.WORKER_SILENT.finding(
            name,
            f"its main process does not answer, although {count(len(heard[name]), 'slot')} of it "
            "can be heard; it may take no more tasks",
            "read its log; restart it if it takes no task",
        )
    for each in workers.workers:
        if silence_counts(facts) and each.slots is not None and not each.twice and len(heard[each.name]) < each.slots:
            yield Code.SLOT_SILENT.finding(
                each.name,
                f"{each.slots - len(heard[each.name])} of its {count(each.slots, 'slot')} sent no heartbeat in "
                f"{duration(workers.listened)}",
                "read its log, unless ORCHESTRATOR_HEARTBEAT is longer there than here",
            )


def silence_counts(facts: Facts) -> bool:
    """Whether a slot that was not heard is silent: it was listened for long enough, and Redis takes heartbeats."""
    return facts.workers.enough and facts.redis.fill <= FULL


def _names_and_versions(facts: Facts) -> Iterator[Finding]:
    here = facts.installation
    ours = {each.name: each.found for each in here.packages if each.found} | {"python": here.python}
    ours |= {"trial-orchestrator": here.version} if here.version else {}
    for each in facts.workers.workers:
        if each.twice:
            yield Code.WORKER_TWICE.finding(
                each.name,
                "two workers have this name: their slots are counted once, and a command for one may reach the other",
                "start each with a --name of its own",
            )
        theirs = dict(each.versions) | ({"celery": each.celery} if each.celery else {})
        apart = [
            f"{_TITLES.get(name, name)} {theirs[name]}, here it is {ours[name]}"
            for name in sorted(ours.keys() & theirs.keys())
            if _release(name, theirs[name]) != _release(name, ours[name])
        ]
        if apart:
            wanted = f"trial-orchestrator=={here.version}" if here.version else "trial-orchestrator"
            yield Code.WORKER_VERSION.finding(
                each.name,
                f"runs {'; '.join(apart)}",
                f"install the same versions everywhere; on its host: pip install '{wanted}'",
            )
        if each.draining:
            yield _draining(facts, each)


def _draining(facts: Facts, worker: Worker) -> Finding:
    queues = "" if worker.queues in ((), (QUEUE,)) else f" --queues {','.join(worker.queues)}"
    command = f"orchestrator worker{queues}"
    draining = {each.name for each in facts.workers.workers if each.draining}
    served = {queue for each in facts.workers.workers if not each.draining for queue in each.queues}
    served.update(queue for sign in facts.workers.signs if sign.worker not in draining for queue in sign.queues)
    stuck = [each.name for each in facts.books.waiting if each.queue in worker.queues and each.queue not in served]
    return Code.WORKER_DRAINING.finding(
        worker.name,
        "is draining: it takes no more trials, and ends when those that run have"
        + (f"; no other worker trains for {listed(stuck)}" if stuck else ""),
        f"start another one where trials are to be trained on: {command}",
        severity=Severity.PROBLEM if stuck else None,
        command=command if stuck and not facts.setup.alone else "",
    )


def _release(name: str, version: str) -> str:
    """Returns as much of a version as has to be the same: of Python the minor one."""
    return ".".join(version.split(".")[:2]) if name == "python" else version


def _protocol(facts: Facts) -> Iterator[Finding]:
    ours = facts.installation.protocol
    spoken: dict[int, set[str]] = defaultdict(set)
    for sign in facts.workers.signs:
        spoken[sign.version].add(sign.worker or "an unnamed worker")
    for queue in facts.redis.queues:
        for item in queue.items:
            if item.version is not None:
                spoken[item.version].add(f"the sender to queue {queue.name}")
    for version, who in sorted(spoken.items()):
        if version == ours:
            continue
        yield Code.PROTOCOL_VERSION.finding(
            listed(sorted(who)),
            f"speaks protocol version {version}, this installation version {ours}: an older worker takes no more "
            "tasks, and messages of a newer one are set aside",
            "install the same version of trial-orchestrator on the control plane and on every worker, and restart them",
        )


def _code(facts: Facts) -> Iterator[Finding]:
    """Yields the studies whose code a worker of their queue refuses; that of a `run` admits its own study's."""
    for study in facts.books.studies if not facts.setup.alone else ():
        refusing = [
            each
            for each in facts.workers.workers
            if each.bundles == () and (study.queue in each.queues or not each.queues)
        ]
        if study.bundle and study.open and refusing:
            queues = "" if study.queue == QUEUE else f" --queues {study.queue}"
            yield Code.CODE_NOT_ADMITTED.finding(
                f"study {study.name}",
                f"sends its code, and {listed(sorted(each.name for each in refusing))} of queue {study.queue} "
                f"{'admits' if len(refusing) == 1 else 'admit'} none that is sent; a trial there fails the study",
                "start its workers so, in the place of these",
                command=f"ORCHESTRATOR_OBJECTIVES='bundle:*' orchestrator worker{queues}",
            )
