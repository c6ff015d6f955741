"""Whatever a study's own data are, in every place where they enter, the study beside it ends as it does alone."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from orchestrator.common.errors import BadInput
from orchestrator.control.batch_log import log_batch
from orchestrator.spec.model import validate
from tasks import redis_keys
from tasks.codec import Malformed, decode_event, encode
from tasks.contract import (
    Artifact,
    ArtifactRef,
    Attribute,
    Checkpoint,
    CheckpointRef,
    Epoch,
    Event,
    Failed,
    Finished,
    Imported,
    ReadStudy,
    Suggest,
)
from tests.simulated.course import Course, Talk
from tests.simulated.memory_books import MemoryBooks
from tests.simulated.simulation import Simulation

GOOD: dict[str, Any] = {
    "name": "good",
    "objective": "somewhere:objective",
    "trials": 3,
    "seed": 3,
    "sampler": {"name": "random"},
    "pruner": {"name": "none"},
}
BAD = GOOD | {"name": "bad", "sampler": {"name": "tpe", "n_startup_trials": 1}, "pruner": {"name": "median"}}


def deep(depth: int) -> str:
    return "[" * depth + "]" * depth


TEXTS = st.text(max_size=20) | st.sampled_from(["", "\0", "\ud800", "\x1b[31m\n\r", "a" * 600, "x" * 20_000, "😀"])
INTEGERS = st.sampled_from([0, -1, 2**31, 2**63, 2**64, 10**400]) | st.integers()
NUMBERS = INTEGERS | st.floats() | st.sampled_from([math.nan, math.inf, -math.inf, 1e308, -0.0])
VALUES = st.recursive(
    TEXTS | NUMBERS | st.none() | st.booleans(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=2),
    max_leaves=5,
)
JSON = VALUES.map(json.dumps) | st.sampled_from([deep(600), deep(3_000), "", "{", "NaN", '"\\ud800"', "1e999"]) | TEXTS


def distribution(name: str, **attributes: Any) -> str:
    return json.dumps({"name": name, "attributes": attributes})


DISTRIBUTIONS = (
    JSON
    | st.builds(lambda choices: distribution("CategoricalDistribution", choices=choices), st.lists(VALUES, max_size=3))
    | st.builds(
        lambda low, high, log: distribution("FloatDistribution", low=low, high=high, log=log, step=None),
        NUMBERS,
        NUMBERS,
        st.booleans(),
    )
    | st.builds(
        lambda low, high, step: distribution("IntDistribution", low=low, high=high, log=False, step=step),
        NUMBERS,
        NUMBERS,
        INTEGERS,
    )
)
BODIES = st.one_of(
    st.builds(Attribute, key=TEXTS, value=JSON, kind=st.sampled_from(["user", "constraint"])),
    st.builds(Suggest, name=TEXTS, distribution=DISTRIBUTIONS, used=st.booleans()),
    st.builds(Epoch, step=INTEGERS, value=NUMBERS),
    st.builds(Finished, values=st.lists(NUMBERS, max_size=3).map(tuple), pruned=st.booleans()),
    st.builds(Failed, cause=st.sampled_from(["exception", "nan", "died"]), error=TEXTS, message=TEXTS, traceback=TEXTS),
    st.builds(Imported, digest=TEXTS),
    st.builds(ReadStudy),
    st.builds(Checkpoint, ref=st.builds(CheckpointRef, step=INTEGERS, location=TEXTS, digest=TEXTS, size=INTEGERS)),
    st.builds(
        Artifact, ref=st.builds(ArtifactRef, id=TEXTS, filename=TEXTS, mimetype=TEXTS, encoding=TEXTS, size=INTEGERS)
    ),
)
PARAMETERS = st.dictionaries(st.just("x") | TEXTS, VALUES, max_size=3)
TABLES = st.fixed_dictionaries(
    {},
    optional={
        "args": st.dictionaries(TEXTS, VALUES, max_size=2),
        "enqueue": st.lists(PARAMETERS, max_size=2),
        "space": st.dictionaries(
            st.just("x") | TEXTS,
            st.fixed_dictionaries({"type": st.just("categorical"), "choices": st.lists(VALUES, max_size=3)}),
            max_size=2,
        ),
    },
)
COMMANDS = st.lists(
    st.tuples(
        st.sampled_from(["enqueue", "retry", "submit", "pause", "resume", "stop", "define", "slot"]) | TEXTS,
        st.dictionaries(st.sampled_from(["params", "trial", "spec", "planned", "definition"]), VALUES | PARAMETERS),
    ),
    max_size=2,
)


def sendable(body: Any) -> bool:
    """Whether a worker could send it at all; how it refuses the rest is its own business. A question that cannot be
    read is refused there, too: it could not be answered."""
    try:
        data = encode(Event(token="token", runner="runner", seq=1, body=body))
        if isinstance(body, Suggest):
            decode_event(data)
    except (UnicodeEncodeError, OverflowError, RecursionError, TypeError, Malformed):
        return False
    return True


def honest(course: Course) -> Talk:
    x = yield from course.float("x")
    for step in range(3):
        yield from course.report(step, x + step)
    return x


def objective(bodies: list[Any]) -> Callable[[Course], Talk]:
    def talk(course: Course) -> Talk:
        if course.job.study == "bad":
            for body in bodies:
                if sendable(body):
                    yield body
        return (yield from honest(course))

    return talk


def results(world: Simulation) -> list[tuple[Any, ...]]:
    return [(each.number, each.state, each.values, each.params, each.steps) for each in world.ledger.trials.values()]


ALONE = results(Simulation(validate(GOOD, "test"), honest, 2).run_to_end())


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(bodies=st.lists(BODIES, max_size=4), table=TABLES, commands=COMMANDS)
def test_a_healthy_study_does_not_notice(bodies: list[Any], table: dict[str, Any], commands: list[Any]) -> None:
    world = Simulation(validate(GOOD, "test"), objective(bodies), 2)
    try:
        spec = validate(BAD | table, "test")
    except BadInput:
        spec = validate(BAD, "test")
    MemoryBooks(world.database).create(spec, world.now)
    world.start()
    for count, (operation, payload) in enumerate(commands):
        world.database.issue(f"key-{count}", operation, "bad", payload)
        world.redis.add({b"ring": redis_keys.DOORBELL.encode()})
    for _ in range(300):
        for slot in list(world.slots):
            world.turn(slot)
        world.round(wait=True)
        if world.ledger.state == "finished":
            break
    assert results(world) == ALONE
    for _ in range(3):
        world.round()
    assert len(world.redis.entries) < 50, "what was read is released"
    unanswered = {each.operation for each in world.database.commands if each.id not in world.database.answers}
    assert unanswered <= {"slot"}, "what is asked for too early waits"


def test_the_log_takes_any_name(caplog: Any) -> None:
    """What is left to say of a batch is said of any text."""
    from orchestrator.engine.outputs import Batch
    from orchestrator.model.changeset import Changes
    from orchestrator.model.progress_events import TrialEnded

    caplog.set_level("INFO")
    for detail in ("\0", "\ud800", "\n", "\x1c", "x" * 20_000):
        end = TrialEnded(number=0, state="FAIL", values=(), epochs=0, seconds=0.0, params={}, detail=detail)
        log_batch("bad", Batch(Changes(), notices=[end]))
    assert len(caplog.records) == 5
