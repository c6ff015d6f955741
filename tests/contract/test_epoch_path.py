"""The life of an epoch: the files that are given it on its way from the stream to the rule, and to the rows."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

import msgspec

import orchestrator
from orchestrator.control.assembly import Options, make_controller
from orchestrator.control.ports import Hooks, Phase, Ports
from orchestrator.engine.outputs import Batch
from orchestrator.messaging.dispatch import Dispatcher
from orchestrator.messaging.event_stream import EventStream
from orchestrator.model.changeset import Changes
from orchestrator.spec.model import validate
from orchestrator.storage.database import Database
from orchestrator.storage.lease import WriterLease
from orchestrator.storage.store import Store
from tasks import redis_keys
from tasks.app import connect
from tasks.codec import encode
from tasks.contract import Epoch, Event, Started
from tests.servers import Redis
from tests.simulated.course import Files
from tests.simulated.memory_files import MemoryFiles

ROOT = Path(orchestrator.__file__).parents[1]
PRODUCT = tuple(str(ROOT / folder) for folder in ("orchestrator", "tasks"))
PAGE = ROOT / "docs" / "architecture.md"
VALUE = 0.734375
"""Of the epoch that is followed, and of nothing else."""
SEARCH = {
    "name": "study",
    "objective": "somewhere:objective",
    "trials": 1,
    "max_steps": 4,
    "space": {"x": {"type": "float", "low": 0.0, "high": 1.0}},
    "pruner": {"name": "median"},
}


class Way:
    """The files of the product that were given the epoch, in order, until its rows were committed."""

    def __init__(self) -> None:
        self.files: list[str] = []
        self.committed = False

    def reach(self, phase: Phase) -> None:
        self.committed |= phase is Phase.COMMITTED

    def give(self, file: str) -> None:
        if file not in self.files and not self.committed:
            self.files.append(file)


def test_the_files_are_those_that_the_page_names(sqlite: str, tmp_path: Path) -> None:
    way = Way()
    with ExitStack() as closing:
        server = Redis(tmp_path / "redis")
        server.start()
        closing.callback(server.close)
        client = connect(server.url)
        closing.callback(client.close)
        database = Database(sqlite)
        closing.callback(database.close)
        lease = WriterLease(database, 60.0)
        lease.acquire()
        store = Store(database, lease)
        closing.callback(store.close)
        store.create(validate(SEARCH, "test"), 1e9)
        broker = Dispatcher(server.url, client)
        closing.callback(broker.close)
        deleter = MemoryFiles(Files())
        ports = Ports(store, EventStream(client), broker, deleter, deleter)
        controller = make_controller(ports, Options(60.0, 60.0), Hooks(phase=way.reach))
        controller.start()
        (attempt,) = store.load("study").attempts
        for seq, body in enumerate((Started(host="h", pid=1, slot="s"), Epoch(step=1, value=VALUE)), 1):
            event = Event(token=attempt.token, runner="runner", seq=seq, body=body)
            client.xadd(redis_keys.EVENTS, {redis_keys.EVENT_FIELD: encode(event)})
        way.committed = False
        with following(way.give):
            controller.run_once()
    section = PAGE.read_text().partition("## The life of an epoch")[2].partition("\n## ")[0]
    assert way.files == re.findall(r"^\| \d+ \| `([^`]+)`", section, re.MULTILINE)
    answered = max(index for index, file in enumerate(way.files, 1) if file.startswith("orchestrator/pruning/"))
    assert f"{answered} files until the rule answers, and {len(way.files)} until the rows" in section


@contextmanager
def following(give: Callable[[str], None]) -> Iterator[None]:
    """Inside, ``give`` is told of the file of each function of the product that is given the epoch, or returns it."""

    def profile(frame: FrameType, kind: str, returned: Any) -> None:
        path = frame.f_code.co_filename
        if not path.startswith(PRODUCT) or kind not in ("call", "return"):
            return
        count = frame.f_code.co_argcount + frame.f_code.co_kwonlyargcount
        given = [frame.f_locals.get(name) for name in frame.f_code.co_varnames[:count] if name != "self"]
        if holds(given if kind == "call" else returned):
            give(str(Path(path).relative_to(ROOT)))

    sys.setprofile(profile)
    try:
        yield
    finally:
        sys.setprofile(None)


def holds(value: Any) -> bool:
    """Whether the epoch is in this value, in whatever form."""
    match value:
        case float():
            return value == VALUE
        case bytes():
            return msgspec.msgpack.encode(VALUE) in value
        case dict():
            return any(map(holds, value.values()))
        case list() | tuple() | set():
            return any(map(holds, value))
        case Changes():
            return holds(value.values)
        case Batch():
            return holds(value.changes)
        case msgspec.Struct():
            return any(holds(getattr(value, name)) for name in value.__struct_fields__)
    return False
