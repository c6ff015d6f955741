"""What the control plane relies on, of Redis, Celery and SQL databases as of what stands for them in simulations."""

from __future__ import annotations

import contextlib
import copy
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import kombu
import optuna
import pytest
from books import NOW, a_trial, attempt, everything, make_spec
from sqlalchemy import exc

from orchestrator.changes import Changes, NoteRow, TrialEnd
from orchestrator.dispatch import Dispatcher
from orchestrator.errors import BadInput, NotTheWriter
from orchestrator.lifecycle import LIVE
from orchestrator.ports import BATCH, Books, Broker, Clock, Command, ForeignWrite, NoteState, Owed, Stream, Wiped
from orchestrator.storage import Store, WriterLease
from orchestrator.storage.database import Database
from orchestrator.stream import EventStream
from tasks import keys
from tasks.app import connect, create_app
from tasks.codec import decode_confirmation, decode_reply, job_from_payload
from tasks.contract import Confirmation, Job, Reply, Verdict
from tests.servers import Redis
from tests.simulated.memory import MemoryBroker, MemoryRedis, MemoryStream
from tests.simulated.memory_books import MemoryBooks, MemoryDatabase

# -- the stream and the broker ------------------------------------------------------------------------------------


@dataclass
class Bus:
    """A server with both of its ends."""

    stream: Callable[[], Stream]
    broker: Callable[[], Broker]
    add: Callable[[dict[bytes, bytes]], bytes]
    wipe: Callable[[], None]
    length: Callable[[], int]
    confirmation: Callable[[str], Confirmation | None]
    take_reply: Callable[[str], Reply | None]
    take_job: Callable[[str], Job | None]
    answers: Callable[[str], list[str]]
    dead: Callable[[], list[tuple[bytes, str]]]


@pytest.fixture(scope="module")
def own_redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    server = Redis(tmp_path_factory.mktemp("redis"))
    server.start()
    yield server.url
    server.close()


def memory_bus() -> Bus:
    server = MemoryRedis()
    clock = Clock(sleep=lambda _: None)

    def dead() -> list[tuple[bytes, str]]:
        return list(server.dead)

    return Bus(
        stream=lambda: MemoryStream(server, clock),
        broker=lambda: MemoryBroker(server),
        add=server.add,
        wipe=server.wipe,
        length=lambda: len(server.entries),
        confirmation=server.confirmation,
        take_reply=server.take_reply,
        take_job=server.take_job,
        answers=lambda key: server.answers[key],
        dead=dead,
    )


def real_bus(url: str, closing: ExitStack) -> Bus:
    client = connect(url)
    closing.callback(client.close)
    client.flushall()
    app = create_app(url)
    closing.callback(app.close)

    def confirmation(token: str) -> Confirmation | None:
        data = client.get(keys.confirmation(token))
        return None if data is None else decode_confirmation(data)

    def take_reply(runner: str) -> Reply | None:
        data = client.lpop(keys.replies(runner))
        return None if data is None else decode_reply(data)

    def take_job(queue: str) -> Job | None:
        # As a worker takes it: by kombu, lowest number of priority first.
        with app.connection_for_read() as connection, connection.channel() as channel:
            message = kombu.Queue(queue, channel=channel).get(no_ack=True)
            return None if message is None else job_from_payload(message.decode()[0][0])

    def broker() -> Broker:
        made = Dispatcher(url, client)
        closing.callback(made.close)
        return made

    return Bus(
        stream=lambda: EventStream(client),
        broker=broker,
        add=lambda fields: client.xadd(keys.EVENTS, fields),
        wipe=client.flushall,
        length=lambda: client.xlen(keys.EVENTS),
        confirmation=confirmation,
        take_reply=take_reply,
        take_job=take_job,
        answers=lambda key: [text.decode() for text in client.lrange(keys.answer(key), 0, -1)],
        dead=lambda: [(fields[b"data"], fields[b"reason"].decode()) for _, fields in client.xrange(keys.DEAD_LETTERS)],
    )


@pytest.fixture(params=["memory", "redis"])
def bus(request: pytest.FixtureRequest) -> Iterator[Bus]:
    if request.param == "memory":
        yield memory_bus()
        return
    with ExitStack() as closing:
        yield real_bus(request.getfixturevalue("own_redis"), closing)


def number(count: int) -> dict[bytes, bytes]:
    return {b"e": str(count).encode()}


def read_all(stream: Stream) -> list[int]:
    return [int(fields[b"e"]) for _, fields in stream.read(0.001)]


def a_job(token: str) -> Job:
    return Job(
        study="study",
        uid="uid",
        trial=0,
        attempt=1,
        token=token,
        objective="somewhere:objective",
        directions=("minimize",),
    )


def test_entries_come_in_order_and_once(bus: Bus) -> None:
    stream = bus.stream()
    for count in range(3):
        bus.add(number(count))
    stream.prepare()  # what was there before is not skipped
    assert read_all(stream) == [0, 1, 2]
    assert read_all(stream) == []
    bus.add(number(3))
    assert read_all(stream) == [3]


def test_what_is_not_acknowledged_comes_again_and_before_what_is_new(bus: Bus) -> None:
    stream = bus.stream()
    stream.prepare()
    for count in range(4):
        bus.add(number(count))
    entries = stream.read(0.001)
    stream.acknowledge([entries[1][0]])
    bus.add(number(4))
    stream.read_pending_again()
    assert read_all(stream) == [0, 2, 3]
    assert read_all(stream) == [4]
    assert bus.length() == 4


def test_the_next_consumer_takes_over_what_the_last_one_left(bus: Bus) -> None:
    first = bus.stream()
    first.prepare()
    bus.add(number(0))
    assert read_all(first) == [0]
    second = bus.stream()
    second.prepare()
    assert read_all(second) == [0]


def test_acknowledged_entries_are_gone(bus: Bus) -> None:
    stream = bus.stream()
    stream.prepare()
    bus.add(number(0))
    stream.acknowledge([id for id, _ in stream.read(0.001)])
    stream.acknowledge([])
    stream.read_pending_again()
    assert read_all(stream) == []
    assert bus.length() == 0


def test_a_read_is_bounded(bus: Bus) -> None:
    stream = bus.stream()
    stream.prepare()
    for count in range(BATCH + 3):
        bus.add(number(count))
    assert read_all(stream) == list(range(BATCH))
    assert read_all(stream) == [BATCH, BATCH + 1, BATCH + 2]
    stream.read_pending_again()
    assert read_all(stream) == list(range(BATCH))
    assert read_all(stream) == [BATCH, BATCH + 1, BATCH + 2]


def test_without_a_group_it_says_so_and_a_new_one_begins_with_what_is_there(bus: Bus) -> None:
    stream = bus.stream()
    with pytest.raises(Wiped):
        while True:
            stream.read(0.001)
    stream.prepare()
    bus.add(number(0))
    assert read_all(stream) == [0]
    bus.wipe()
    with pytest.raises(Wiped):
        while True:
            stream.read(0.001)
    bus.add(number(1))
    stream.prepare()
    assert read_all(stream) == [1]
    bus.broker().waiting(["trials"])


def test_an_entry_that_is_gone_while_it_is_pending_is_acknowledged_all_the_same(bus: Bus) -> None:
    stream = bus.stream()
    stream.prepare()
    bus.add(number(0))
    ids = [id for id, _ in stream.read(0.001)]
    other = bus.stream()
    other.prepare()
    other.read(0.001)
    stream.acknowledge(ids)
    other.acknowledge(ids)
    stream.read_pending_again()
    assert read_all(stream) == []


def test_confirmations_replies_answers_and_dead_letters_arrive(bus: Bus) -> None:
    stream = bus.stream()
    stream.confirm({})
    stream.confirm({"t": Confirmation(runner="r", seq=1), "u": Confirmation(runner="", seq=0)})
    stream.confirm({"t": Confirmation(runner="r", seq=2, verdict=Verdict(cause="pruned", step=3))})
    assert bus.confirmation("t") == Confirmation(runner="r", seq=2, verdict=Verdict(cause="pruned", step=3))
    assert bus.confirmation("nobody") is None
    replies = [Reply(runner="r", seq=seq, name="x", value=0.5) for seq in (1, 2)]
    stream.reply(replies)
    assert [bus.take_reply("r"), bus.take_reply("r"), bus.take_reply("r")] == [*replies, None]
    stream.answer("key", "done")
    assert bus.answers("key") == ["done"]
    stream.dead_letter(b"\xff\x00", "why")
    assert bus.dead() == [(b"\xff\x00", "why")]
    stream.notify("study", [])
    stream.probe()


def test_tasks_wait_until_they_are_taken_and_retries_go_first(bus: Bus) -> None:
    broker = bus.broker()
    assert broker.waiting(["trials", "other"]) == set()
    for token in ("a", "b"):
        broker.send(a_job(token), "trials", retry=False)
    for token in ("c", "d"):
        broker.send(a_job(token), "trials", retry=True)
    broker.send(a_job("e"), "other", retry=False)
    assert broker.waiting(["trials"]) == set("abcd")
    assert broker.waiting(["trials", "other"]) == set("abcde")
    taken = [bus.take_job("trials") for _ in range(5)]
    assert [job and job.token for job in taken] == ["c", "d", "a", "b", None]
    assert broker.waiting(["trials", "other"]) == {"e"}
    bus.wipe()
    assert broker.waiting(["trials", "other"]) == set()


def test_a_task_that_is_sent_twice_is_there_twice(bus: Bus) -> None:
    broker = bus.broker()
    broker.send(a_job("a"), "trials", retry=False)
    broker.send(a_job("a"), "trials", retry=False)
    assert broker.waiting(["trials"]) == {"a"}
    assert [bus.take_job("trials"), bus.take_job("trials"), bus.take_job("trials")] == [a_job("a"), a_job("a"), None]


def test_what_nobody_runs_can_be_revoked(bus: Bus) -> None:
    bus.broker().revoke("nobody")


# -- the database -------------------------------------------------------------------------------------------------


@dataclass
class Shelf:
    """A database with the ways of everybody else to it."""

    writer: Callable[[], Books]
    issue: Callable[[str, str, str, dict[str, Any]], None]
    end_elsewhere: Callable[[int], None]


def memory_shelf() -> Shelf:
    database = MemoryDatabase()

    def end_elsewhere(number: int) -> None:
        row = database.ledgers["study"].trials[number]
        row.state, row.values, row.end = "COMPLETE", (0.0,), NOW

    return Shelf(lambda: MemoryBooks(database), database.issue, end_elsewhere)


def real_shelf(url: str, closing: ExitStack) -> Shelf:
    def writer() -> Books:
        database = Database(url)
        closing.callback(database.close)
        lease = WriterLease(database, 60.0)
        assert lease.acquire() is None
        store = Store(database, lease)
        closing.callback(store.close)
        return store

    def issue(key: str, operation: str, study: str, payload: dict[str, Any]) -> None:
        database = Database(url)
        store = Store(database)
        store.issue(key, "somebody", operation, study, payload)
        store.close()
        database.close()

    def end_elsewhere(number: int) -> None:
        storage = optuna.storages.RDBStorage(url)
        try:
            trial = optuna.load_study(study_name="study", storage=storage).trials[number]
            storage.set_trial_state_values(trial._trial_id, optuna.trial.TrialState.COMPLETE, [0.0])
        finally:
            storage.remove_session()
            storage.engine.dispose()

    return Shelf(writer, issue, end_elsewhere)


@pytest.fixture(params=["memory", "sqlite", "postgresql"])
def shelf(request: pytest.FixtureRequest) -> Iterator[Shelf]:
    if request.param == "memory":
        yield memory_shelf()
        return
    with ExitStack() as closing:
        yield real_shelf(request.getfixturevalue(request.param), closing)


def told(books: Books) -> tuple[object, ...]:
    """What an engine would be given, in a form that can be compared."""
    found = books.load("study")
    trials = [
        (
            trial.number,
            trial.state.name,
            trial.values,
            trial.params,
            {step: repr(value + 0.0) for step, value in trial.intermediate_values.items()},
            trial.user_attrs,
            trial.system_attrs,
        )
        for trial in found.trials
    ]
    attempts = sorted((row.trial, row.number, row.token, str(row.state), row.runner) for row in found.attempts)
    checkpoints = sorted(row.location for row in found.checkpoints)
    closest = sorted((row.trial, row.step) for row in found.closest)
    return (found.spec, found.state, found.reason, found.study_system_attrs, trials, attempts, checkpoints, closest)


def test_a_study_is_made_once_and_read_again(shelf: Shelf) -> None:
    books = shelf.writer()
    made = books.create(make_spec(), NOW)
    assert (made.state, made.trials, made.attempts) == ("running", [], [])
    again = books.create(make_spec(trials=9), NOW + 1)
    assert (again.uid, again.seed, again.spec.trials) == (made.uid, made.seed, 6)
    assert books.load("study").spec.trials == 9
    with pytest.raises(BadInput, match="another search"):
        books.create(make_spec(objective="elsewhere:objective"), NOW)
    with pytest.raises(BadInput, match="none of that name"):
        books.load("other")


def test_studies_are_unsettled_until_their_last_attempt_has_ended(shelf: Shelf) -> None:
    books = shelf.writer()
    for count, name in enumerate(("study", "b", "a")):
        books.create(make_spec(name=name), NOW + count)
    assert books.unsettled() == ["study", "b", "a"]
    row = attempt(0, state="stopping")
    over = {0: TrialEnd("PRUNED", (0.5,), NOW + 5)}
    ended = ("finished", "", NOW + 5)
    books.commit({"b": Changes(new_trials={0: NOW}, attempts={row.token: row}, ends=over, study_state=ended)})
    books.commit({"a": Changes(study_state=("ending", "", NOW + 5)), "study": Changes(study_state=ended)})
    assert books.unsettled() == ["b", "a"]
    row = attempt(0, state="done")
    books.commit({"b": Changes(attempts={row.token: row})})
    assert books.unsettled() == ["a"]


def test_everything_is_read_as_it_was_written(shelf: Shelf) -> None:
    books, reference = shelf.writer(), memory_shelf().writer()
    changes = everything()
    # What simulations refuse because no core would write it.
    changes.attempts = {
        token: row for token, row in changes.attempts.items() if row.state not in LIVE or row.trial in (1, 2)
    }
    changes.ends.pop(1)
    changes.decisions = []
    for each in (books, reference):
        each.create(make_spec(), NOW)
        each.commit({"study": copy.deepcopy(changes)})
    assert told(books) == told(reference)


def test_one_batch_is_written_whole_or_not_at_all(shelf: Shelf) -> None:
    books = shelf.writer()
    books.create(make_spec(), NOW)
    books.create(make_spec(name="other"), NOW)
    books.commit({"study": a_trial(), "other": Changes()})
    shelf.end_elsewhere(0)
    new = Changes(study_state=("paused", "because", NOW))
    late = Changes(values=[(0, 1, 0.5)])
    with pytest.raises(ForeignWrite):
        books.commit({"other": new, "study": late}, {})
    assert books.load("other").state == "running"


def test_whoever_was_replaced_writes_nothing(shelf: Shelf) -> None:
    old = shelf.writer()
    old.create(make_spec(), NOW)
    new = shelf.writer()
    for write in (
        lambda: old.commit({"study": a_trial()}),
        lambda: old.commit({}),
        lambda: old.create(make_spec(name="b"), NOW),
    ):
        with pytest.raises(NotTheWriter):
            _as_the_control_plane(write)
    assert new.load("study").trials == []
    assert new.unsettled() == ["study"]
    new.commit({"study": a_trial()})
    assert [trial.number for trial in new.load("study").trials] == [0]


def a_note(key: str, event: str = "finished") -> NoteRow:
    return NoteRow(key, event, "post", '{"ü": 1}', NOW)


def test_notes_are_owed_until_they_are_settled(shelf: Shelf) -> None:
    books = shelf.writer()
    table = {"url": "https://h/x", "on": ["best"]}
    for name in ("study", "other"):
        books.create(make_spec(name=name, notify=table if name == "study" else {"command": ["x"]}), NOW)
    assert books.owed() == []
    books.commit({"study": Changes(notes=[a_note("a"), a_note("b", "best")]), "other": Changes(notes=[a_note("c")])})
    # The answer to a commit may have been lost on its way.
    books.commit({"study": Changes(notes=[a_note("a")])})
    first, second, third = books.owed()
    assert first == Owed("study", a_note("a"), make_spec(notify=table).notify)
    assert (second.note, third.study, third.notify.command) == (a_note("b", "best"), "other", ("x",))
    books.commit({}, {}, {"a": NoteState("owed", 1, "HTTP 500", NOW + 1), "b": NoteState("superseded", 0, "", NOW)})
    assert [(owed.note.key, owed.tries) for owed in books.owed()] == [("a", 1), ("c", 0)]
    old, books = books, shelf.writer()
    with pytest.raises(NotTheWriter):
        _as_the_control_plane(lambda: old.commit({}, {}, {"a": NoteState("failed", 2, "HTTP 404", NOW + 2)}))
    books.create(make_spec(trials=9, notify={"endpoint": "team"}), NOW)
    assert books.owed()[0].notify.endpoint == "team", "whom the spec names now"
    books.commit({"study": Changes(notes=[a_note("d")])}, {}, {"a": NoteState("delivered", 2, "HTTP 204", NOW + 2)})
    assert [owed.note.key for owed in books.owed()] == ["c", "d"]


def _as_the_control_plane(write: Callable[[], object]) -> None:
    """Whoever takes over ends the connection of whoever had it, who tries once more over a new one."""
    with contextlib.suppress(exc.OperationalError):
        write()
    write()


def test_an_ended_trial_is_not_written_to(shelf: Shelf) -> None:
    books = shelf.writer()
    books.create(make_spec(), NOW)
    books.commit({"study": a_trial()})
    shelf.end_elsewhere(0)
    for changes in (
        Changes(values=[(0, 0, 0.5)]),
        Changes(ends={0: TrialEnd("PRUNED", (0.5,), NOW + 9)}),
        Changes(starts={0: NOW + 9}),
        Changes(user_attrs={(0, "a"): 1}),
    ):
        with pytest.raises(ForeignWrite):
            books.commit({"study": changes})
    row = attempt(0, state="done", ended=NOW + 9)
    books.commit({"study": Changes(attempts={row.token: row})})
    assert [str(row.state) for row in books.load("study").attempts] == ["done"]


def test_commands_wait_until_they_are_answered(shelf: Shelf) -> None:
    books = shelf.writer()
    assert books.pending_commands() == []
    for key in ("one", "two", "one"):
        shelf.issue(key, "pause", "study", {"for": [key, None]})
    first, second = books.pending_commands()
    assert [first.key, second.key] == ["one", "two"]
    assert (first.operation, first.study, first.payload) == ("pause", "study", {"for": ["one", None]})
    books.commit({}, {first.id: "done"})
    assert books.pending_commands() == [second]
    assert isinstance(second, Command)
