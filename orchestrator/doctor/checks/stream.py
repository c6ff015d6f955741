"""Checks of the queues and of the event stream: backlog, lost items, dead letters."""

from __future__ import annotations

from collections.abc import Iterator

from orchestrator.common.formatting import count, duration, listed
from orchestrator.doctor.checks.redis import REDIS_CLI
from orchestrator.doctor.facts import Facts, Queue
from orchestrator.doctor.finding import ClearQueue, Code, Finding, MakeGroup, Severity, TakeOver
from orchestrator.model.lifecycle import LIVE
from tasks import redis_keys

FRESH = 600.0
"""Seconds; dead letters that are younger tell of something that goes on."""

FAR_BEHIND = 10
"""Leases."""


def check_queues(facts: Facts) -> Iterator[Finding]:
    """Yields the findings about the queues; nothing where Redis cannot be asked."""
    if not facts.redis.looked_at:
        return
    full = [f"{queue.name} {sum(queue.waiting)}{_priorities(queue)}" for queue in facts.redis.queues]
    yield Code.QUEUES.finding("tasks that wait", listed(full) or "none")
    for queue in facts.redis.queues:
        yield from _unserved(facts, queue)
        yield from _items(facts, queue)


def _priorities(queue: Queue) -> str:
    """Returns the numbers of tasks that wait by priority, where there are several priorities."""
    return f" ({' + '.join(map(str, queue.waiting))})" if sum(map(bool, queue.waiting)) > 1 else ""


def _unserved(facts: Facts, queue: Queue) -> Iterator[Finding]:
    workers = facts.workers
    no_worker = not workers.workers and not workers.signs
    studies = [each.name for each in facts.books.waiting if each.queue == queue.name]
    if workers.error or no_worker or workers.serving(queue.name) or not (studies or sum(queue.waiting)):
        return
    yield Code.QUEUE_UNSERVED.finding(
        f"queue {queue.name}",
        f"no worker serves it; tasks in it: {sum(queue.waiting)}"
        + (f"; studies that need it: {listed(studies)}" if studies else ""),
        f"orchestrator worker --queues {queue.name}; served now: {listed(sorted(workers.queues))}",
        command="" if facts.setup.alone else f"orchestrator worker --queues {queue.name}",
        severity=Severity.PROBLEM if studies else Severity.WARNING,
    )


def _items(facts: Facts, queue: Queue) -> Iterator[Finding]:
    wrong = [item.wrong for item in queue.items if not item.token and not item.unsigned]
    if wrong:
        yield Code.QUEUE_MALFORMED.finding(
            f"queue {queue.name}",
            f"items in it that are no tasks: {len(wrong)}, the first for {wrong[0]}",
            "the next worker that takes them sets them aside in orchestrator:dead; find the program that sends them",
            repair=ClearQueue(queue.name),
        )
    if facts.database.books is None:
        return
    known = facts.books.known
    tokens = {item.token for item in queue.items if item.token}
    if unknown := frozenset(tokens - known.keys()):
        yield Code.QUEUE_UNKNOWN.finding(
            f"queue {queue.name}",
            f"tasks in it of attempts that the database does not know: {len(unknown)}; their study was deleted, or is "
            "in another database",
            "where two fleets share this Redis, give each its own database number in ORCHESTRATOR_REDIS_URL",
            repair=ClearQueue(queue.name, unknown),
        )
    if over := frozenset(token for token in tokens & known.keys() if known[token].state not in LIVE):
        yield Code.QUEUE_ENDED.finding(
            f"queue {queue.name}",
            f"tasks in it of attempts that have ended: {len(over)}",
            "nothing: a worker that takes one drops it at once",
            repair=ClearQueue(queue.name, over),
        )


def check_stream(facts: Facts) -> Iterator[Finding]:
    """Yields the findings about the stream and the dead letters; nothing where Redis cannot be asked."""
    if not facts.redis.looked_at:
        return
    stream = facts.redis.stream
    if any(each.key == redis_keys.EVENTS for each in facts.redis.wrong_keys):
        pass  # there is no stream, which the finding about its key says
    elif stream.group:
        text = f"{count(stream.length, 'event')} not recorded yet, {stream.pending} of them being processed"
        yield Code.STREAM.finding("stream", text)
    else:
        yield _no_group(facts)
    yield from _behind(facts)
    for each in stream.consumers:
        if not each.ours:
            yield Code.STREAM_STRANDED.finding(
                f"consumer {each.name}",
                f"is not the control plane's, and was given {count(each.pending, 'event')} that are not recorded",
                "find the program that reads orchestrator:events by this group",
                repair=TakeOver(each.name),
                severity=Severity.WARNING if each.pending else Severity.NOTE,
            )
    yield from _dead_letters(facts)


def _no_group(facts: Facts) -> Finding:
    stream = facts.redis.stream
    needed = facts.active or stream.length or facts.books.waiting
    return Code.GROUP_MISSING.finding(
        "stream",
        "the control plane's group is not there: this Redis was emptied, or no control plane has used it yet"
        + (f"; events in the stream: {stream.length}" if stream.length else ""),
        "the active control plane does not make it, so it uses another Redis: compare its ORCHESTRATOR_REDIS_URL"
        if facts.active
        else "serve makes it when it starts",
        repair=MakeGroup(),
        severity=Severity.WARNING if needed else Severity.NOTE,
    )


def _behind(facts: Facts) -> Iterator[Finding]:
    stream, lease = facts.redis.stream, facts.setup.lease
    if stream.oldest is None or stream.oldest <= lease or not stream.group:
        return
    waits = f"{count(stream.length, 'event')} not recorded yet, the oldest {duration(stream.oldest)} old"
    if not facts.active:
        text, remedy = waits, "no control plane records them; serve does when it starts"
    else:
        text = f"the control plane does not keep up: {waits}"
        remedy = "its log says what keeps it: a database that is slow or away, or another Redis than this one"
    far = facts.active and stream.oldest > FAR_BEHIND * lease
    yield Code.STREAM_BEHIND.finding("stream", text, remedy, severity=Severity.PROBLEM if far else Severity.WARNING)


def _dead_letters(facts: Facts) -> Iterator[Finding]:
    redis = facts.redis
    if not redis.dead:
        return
    newest = min((letter.age for letter in redis.newest_dead), default=FRESH)
    yield Code.DEAD_LETTERS.finding(
        "dead letters",
        f"{redis.dead} set aside, which are neither events nor tasks, the newest {duration(newest)} ago",
        "redis-cli XRANGE orchestrator:dead - + shows them, DEL orchestrator:dead forgets them",
        command="" if facts.setup.alone else f"{REDIS_CLI} XRANGE orchestrator:dead - + COUNT 5",
        details=tuple(f"{duration(each.age)} ago: {each.reason}: {each.data}" for each in redis.newest_dead),
        severity=Severity.WARNING if newest < FRESH else Severity.NOTE,
    )
