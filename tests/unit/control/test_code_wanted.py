"""A worker that lacks the code of a study asks for it, and the control plane puts it into Redis."""

from __future__ import annotations

import logging

import pytest

from orchestrator.common.settings import Settings
from orchestrator.control.ports import Round
from orchestrator.spec.carried_code import with_bundle
from orchestrator.spec.model import validate
from tasks import redis_keys
from tasks.code_bundle import make_bundle, split_reference
from tasks.contract import Body, CodeWanted, Event, Started
from tests.simulated.course import learning
from tests.simulated.simulation import Simulation

BUNDLE = make_bundle("train:objective", [("train.py", b"def objective(trial): return 1\n")])


def test_what_a_worker_asks_for_is_put_there_again_and_again(caplog: pytest.LogCaptureFixture) -> None:
    plain = validate({"name": "study", "objective": "x:y", "trials": 1}, "spec")
    world = Simulation(with_bundle(plain, BUNDLE, Settings()), learning, slots=0)
    rounds: list[Round] = []
    world.observer = rounds.append
    world.start()
    while not (job := world.redis.take_job("trials")):
        world.round()
    assert split_reference(job.objective) == (BUNDLE.digest, "train:objective")

    def say(seq: int, body: Body, runner: str = "runner") -> None:
        world.redis.publish(Event(token=job.token, runner=runner, seq=seq, body=body))
        world.round()

    say(1, Started(host="h", pid=1, slot="w/0"))
    assert world.redis.code == {}, "nothing is there that no worker needs"
    say(2, CodeWanted(digest=BUNDLE.digest))
    assert world.redis.code[BUNDLE.digest].archive == BUNDLE.pack()
    confirmed = world.redis.confirmation(job.token)
    assert confirmed is not None
    assert confirmed.seq == 2

    # Emptied, asked again, and asked by a runner that is not the trial's; then for what the study never had.
    world.redis.code.clear()
    say(1, CodeWanted(digest=BUNDLE.digest), runner="another")
    assert world.redis.code == {}
    say(3, CodeWanted(digest=BUNDLE.digest))
    assert list(world.redis.code) == [BUNDLE.digest]
    say(4, CodeWanted(digest="0" * 64))
    errors = [each.getMessage() for each in caplog.records if each.levelno >= logging.ERROR]
    assert errors == ["study study has no code 000000000000"]
    assert list(world.redis.code) == [BUNDLE.digest]
    world.round()
    assert sum(each.code_bytes for each in rounds) == 2 * len(BUNDLE.pack())


def test_a_study_whose_code_is_lost_is_suspended_and_goes_on_when_it_is_submitted_again() -> None:
    plain = validate({"name": "study", "objective": "x:y", "trials": 1}, "spec")
    spec = with_bundle(plain, BUNDLE, Settings())
    world = Simulation(spec, learning, slots=0)
    world.start()
    while not (job := world.redis.take_job("trials")):
        world.round()
    world.database.code.clear()
    for seq, body in enumerate((Started(host="h", pid=1, slot="w/0"), CodeWanted(digest=BUNDLE.digest)), 1):
        world.redis.publish(Event(token=job.token, runner="runner", seq=seq, body=body))
        world.round()
    world.round()
    cause = f"code of study 'study': bundle {BUNDLE.digest[:12]} is not in the database; submit the study again"
    assert {name: each.cause for name, each in world.database.suspended.items()} == {"study": cause}
    world.database.issue("key", "submit", "study", spec.to_json())
    world.redis.add({b"ring": redis_keys.DOORBELL.encode()})
    world.round()
    assert not world.database.suspended
    assert ("study", BUNDLE.digest) in world.database.code
