"""The source that a study's trials are trained with: kept with each trial, and news when it is another one."""

from __future__ import annotations

from driver import Course, Talk, World, make_spec

from orchestrator.model.attribute_keys import SOURCE
from orchestrator.model.progress_events import OtherSource
from tasks.contract import Epoch, Imported

DIGESTS = ["aa", "aa", "bb", "bb", "aa", "cc"]


def sourced(course: Course) -> Talk:
    yield Imported(digest=DIGESTS[course.number])
    yield Epoch(step=1, value=1.0)
    return 1.0


def news(world: World) -> list[tuple[int, int, str]]:
    told = [notice for batch in world.batches for notice in batch.notices if isinstance(notice, OtherSource)]
    return [(notice.number, notice.first, notice.digest) for notice in told]


def kept(world: World) -> list[object]:
    return [trial.user_attrs[SOURCE] for trial in world.engine.storage.get_all_trials(0)]


def test_other_source_is_news_once_for_each() -> None:
    world = World(make_spec(trials=6), sourced).run()
    assert kept(world) == DIGESTS
    assert news(world) == [(2, 0, "bb"), (5, 0, "cc")]


def test_a_control_plane_that_starts_again_knows_what_there_was() -> None:
    world = World(make_spec(trials=6), sourced)
    while not any(batch.notices for batch in world.batches):
        assert world.step()
    world.rebuild()
    world.run()
    assert news(world) == [(2, 0, "bb"), (5, 0, "cc")]


def test_a_trial_that_is_attempted_again_keeps_its_first_source_and_says_it_changed() -> None:
    attempts = iter(["aa", "bb"])

    def changing(course: Course) -> Talk:
        del course
        yield Imported(digest=next(attempts))
        yield Epoch(step=1, value=1.0)
        return 1.0

    world = World(make_spec(trials=1), changing)
    world.lose(world.until(Epoch))
    world.run()
    assert kept(world) == ["aa"]
    assert news(world) == [(0, 0, "bb")]
    notice = next(n for batch in world.batches for n in batch.notices if isinstance(n, OtherSource))
    assert notice.text().startswith("trial 0 is trained again with other source than before")
