"""A place of the fold names thousands of trials that wait at rungs in a few bytes, and shows each as it was."""

from __future__ import annotations

from typing import Any

import msgspec
from driver import World, make_spec
from optuna.trial import FrozenTrial
from programs import LADDER, number, saving

from orchestrator.sampling.questions import Horizon, OpenTrial, PausedTrials

TPE = {"name": "tpe", "n_startup_trials": 2}


def search(**changes: Any) -> Any:
    return make_spec(**LADDER | {"sampler": TPE} | changes)


def one_by_one(horizon: Horizon) -> Horizon:
    """The same place as earlier versions have stored it."""
    paused = [each for group in horizon.paused for each in group.trials()]
    return msgspec.structs.replace(horizon, open=tuple(sorted((*horizon.open, *paused))), paused=())


def looks(trial: FrozenTrial) -> Any:
    return trial.state, trial.values, trial.intermediate_values, trial.params, trial.distributions


def test_trials_that_wait_look_as_when_they_were_named_one_by_one() -> None:
    world = World(search(), saving(number), slots=3, shuffle=1)
    places: list[Horizon] = []
    compared = 0
    while world.step():
        places = [*places[-5:], world.engine.trials.questions.place()]
        assert world.replica is not None
        for place in places:
            shown = []
            for horizon in (place, one_by_one(place)):
                with world.replica._storage.at(horizon):
                    shown.append([looks(each) for each in world.replica._storage.get_all_trials(0)])
            assert shown[0] == shown[1]
            compared += bool(place.paused)
    assert compared > 100


def test_a_stored_place_comes_back() -> None:
    place = Horizon(
        7, 20, (OpenTrial(19, 0, -1),), None, (PausedTrials(1, 2, b"\x81\x01"), PausedTrials(4, 2, b"\x02"))
    )
    assert msgspec.convert(msgspec.json.decode(msgspec.json.encode(msgspec.to_builtins(place))), Horizon) == place
    assert place.paused[0].trials() == [OpenTrial(number, 1, 2, True) for number in (0, 7, 8)]
    before = msgspec.to_builtins(place)[:4]
    assert msgspec.convert(before, Horizon) == msgspec.structs.replace(place, paused=())


def test_a_place_is_small_however_many_wait() -> None:
    world = World(search(trials=200), saving(number), slots=2)
    while len(world.engine.trials.paused) < 100:
        assert world.step()
    place = world.engine.trials.questions.place()
    assert len(place.open) < 6
    assert sum(len(group.trials()) for group in place.paused) == len(world.engine.trials.paused)
    assert len(msgspec.json.encode(msgspec.to_builtins(place))) < 400
