"""Models and files: each recorded once as Optuna records it, those no longer needed are deleted after the commit."""

from __future__ import annotations

import json
from typing import Any

import optuna
import pytest
from driver import Course, Talk, World, make_spec

from orchestrator.engine import inputs
from orchestrator.model.attribute_keys import KEPT, RECORD
from tasks.contract import Artifact, ArtifactRef, Attribute, Epoch, Failed, Finished, Paused, Stopped
from tests.simulated.course import Run

DIED = Failed(cause="died", error="TrainingProcessDied", message="signal 9")
MEDIAN = {"name": "median", "n_startup_trials": 1}
LADDER: dict[str, Any] = {
    "trials": 9,
    "max_steps": 9,
    "direction": "maximize",
    "pruner": {"name": "asha", "mode": "promotion", "min_resource": 1, "reduction_factor": 3},
}


def records(world: World, trial: int) -> dict[str, str]:
    """The files of a trial as Optuna lists them: name by id. Each that is ours is in the store."""
    attrs = world.ledger.trials[trial].system_attrs
    metas = [json.loads(json.loads(text)) for key, text in attrs.items() if key.startswith(RECORD)]
    ours = {key.removeprefix(KEPT) for key in attrs if key.startswith(KEPT)}
    assert ours <= world.files.artifacts, "a record leads to a file that is not there"
    assert all(RECORD + id in attrs for id in ours)
    return {meta["artifact_id"]: meta["filename"] for meta in metas}


def names(world: World) -> list[list[str]]:
    return [sorted(records(world, number).values()) for number in world.ledger.trials]


def holders(world: World) -> list[int]:
    """Numbers of the trials that have a model."""
    return [number for number, files in enumerate(names(world)) if "model.pt" in files]


def check_store(world: World) -> None:
    """What lies in the store is what is recorded."""
    recorded = {id for number in world.ledger.trials for id in records(world, number)}
    assert world.files.artifacts == recorded


def modelling(value: Any) -> Any:
    """Saves a model after each of two epochs, which get worse and worse trials, or what ``value`` says."""

    def objective(course: Course) -> Talk:
        for step in (1, 2):
            yield Epoch(step=step, value=value(course.number))
            yield from course.keep()
        yield from course.keep("log.csv", "file")
        return value(course.number)

    return objective


ORDER = [3.0, 1.0, 4.0, 1.0, 5.0, 0.5, 2.0, 6.0]


def by_order(number: int) -> float:
    return ORDER[number % len(ORDER)]


def test_the_record_is_the_one_that_optuna_writes(tmp_path: Any) -> None:
    def objective(course: Course) -> Talk:
        yield from course.keep("weights.bin")
        return 0.0

    world = World(make_spec(trials=1), objective).run()
    (id,) = records(world, 0)
    store = optuna.artifacts.FileSystemArtifactStore(tmp_path)
    study = optuna.create_study()
    trial = study.ask()
    (tmp_path / "weights.bin").write_bytes(b"x")
    theirs = optuna.artifacts.upload_artifact(
        artifact_store=store, file_path=str(tmp_path / "weights.bin"), study_or_trial=trial
    )
    written = study._storage.get_trial_system_attrs(trial._trial_id)[f"artifacts:{theirs}"]
    ours = json.loads(world.ledger.trials[0].system_attrs[f"artifacts:{id}"])
    assert ours == written.replace(theirs, id)


def test_a_model_saved_again_takes_the_place_of_the_first() -> None:
    world = World(make_spec(trials=1), modelling(by_order))
    run = world.until(Artifact)
    first = set(records(world, 0))
    world.until(Artifact)
    second = set(records(world, 0))
    assert len(second) == 1
    assert not first & second
    assert world.files.artifacts == second, "the first one is deleted"
    world.run()
    assert names(world) == [["log.csv", "model.pt"]]
    assert run.job.trial == 0
    check_store(world)


def test_other_names_and_other_kinds_stand_beside_each_other() -> None:
    def objective(course: Course) -> Talk:
        yield from course.keep("a.pt")
        yield from course.keep("b.pt")
        yield from course.keep("a.pt", "file")
        return 0.0

    world = World(make_spec(trials=1), objective).run()
    assert names(world) == [["a.pt", "a.pt", "b.pt"]]
    check_store(world)


def test_without_the_key_every_trial_keeps_its_model() -> None:
    world = World(make_spec(trials=6), modelling(by_order), 2).run()
    assert holders(world) == [0, 1, 2, 3, 4, 5]
    check_store(world)


@pytest.mark.parametrize("slots", [1, 3])
@pytest.mark.parametrize("direction", ["minimize", "maximize"])
def test_the_models_of_the_best_are_kept_and_other_files_of_all(slots: int, direction: str) -> None:
    spec = make_spec(trials=8, keep_models=3, direction=direction)
    world = World(spec, modelling(by_order), slots, shuffle=4).run()
    # Trials 1 and 3 are equally good: the first one is better.
    assert holders(world) == ([1, 3, 5] if direction == "minimize" else [2, 4, 7])
    assert all("log.csv" in files for files in names(world))
    check_store(world)


def test_they_fall_out_one_by_one() -> None:
    world = World(make_spec(trials=5, keep_models=1, direction="maximize"), modelling(by_order))
    kept = []
    for _ in range(5):
        while not world.batches[-1].notices:
            world.step()
        kept.append(holders(world))
        world.commit()
    assert kept == [[0], [0], [2], [2], [4]]
    check_store(world)


def test_a_trial_that_runs_keeps_its_own() -> None:
    world = World(make_spec(trials=4, keep_models=1), modelling(by_order), 2)
    first = world.until(Artifact, world.slots[0])
    second = world.until(Artifact, world.slots[0])
    assert first.job.trial == 0
    world.until(Finished, world.slots[0])
    other = world.until(Artifact, world.slots[0])
    assert second.job.trial in holders(world)
    assert other.job.trial in holders(world)


def test_pruned_and_failed_trials_keep_no_model_and_their_files() -> None:
    def objective(course: Course) -> Talk:
        yield from course.keep("notes.txt", "file")
        yield from course.keep()
        for step in range(4):
            yield Epoch(step=step, value=float(course.number))
        if course.number == 0:
            return 0.0
        raise AssertionError("is pruned before")

    world = World(make_spec(trials=3, keep_models=3, pruner=MEDIAN), objective).run()
    assert world.counts == {"COMPLETE": 1, "PRUNED": 2}
    assert names(world) == [["model.pt", "notes.txt"], ["notes.txt"], ["notes.txt"]]
    check_store(world)


@pytest.mark.parametrize("keep_models", [None, 2])
def test_what_comes_after_the_verdict_is_kept(keep_models: int | None) -> None:
    """Where a trial is stopped, its files come when it has ended already."""
    world = World(make_spec(trials=2, keep_models=keep_models, pruner=MEDIAN), modelling(by_order))
    world.slots[0].run = None
    run = world.until(Epoch)
    world.feed(inputs.StudyStopped())
    assert world.state == "stopped"
    world.deliver(run.event(Artifact(ref=run.course.ref("late.pt"))))
    world.deliver(run.event(Artifact(ref=run.course.ref("late.txt", "file"))))
    world.leave(run, Stopped())
    assert names(world)[0] == (["late.pt", "late.txt"] if keep_models is None else ["late.txt"])
    check_store(world)


def test_a_trial_that_violates_its_constraints_is_no_good() -> None:
    def objective(course: Course) -> Talk:
        yield Attribute(key="memory", value=str(1 - course.number), kind="constraint")
        yield from course.keep()
        return float(course.number)

    world = World(make_spec(trials=3, keep_models=1), objective).run()
    assert holders(world) == [1]


class Constrained(optuna.samplers.RandomSampler):
    """Bars the first trial, which is the best by value, as samplers with a ``constraints_func`` do."""

    def after_trial(self, study: Any, trial: Any, *_: Any) -> None:
        study._storage.set_trial_system_attr(trial._trial_id, "constraints", (1.0 - trial.number, -1.0))


@pytest.mark.parametrize("rebuild", [False, True])
def test_what_the_sampler_says_of_constraints_counts(rebuild: bool) -> None:
    def objective(course: Course) -> Talk:
        yield from course.keep()
        return float(course.number)

    search = {"keep_models": 1, "target": 1.0, "sampler": {"name": f"{__name__}:Constrained"}}
    world = World(make_spec(trials=5, **search), objective, rebuild=rebuild).run()
    assert holders(world) == [1]
    best = world.engine.progress().best
    assert best is not None
    assert best.number == 1
    assert world.ledger.reason == "target is reached: 1 by trial 1"


def test_a_later_attempt_of_a_trial_neither_loses_nor_doubles_files() -> None:
    def objective(course: Course) -> Talk:
        for step in range(course.load() + 1, 10):
            yield from course.keep("curve.png", "file")
            yield from course.keep(f"epoch-{step}.txt", "file")
            yield from course.keep()
            yield from course.save(step)
            yield from course.report(step, 1.0 / (1 + course.number))
        return 1.0

    world = World(make_spec(**LADDER, keep_models=1), objective, 2).run()
    assert sum(isinstance(each.said[-1].body, Paused) for each in world.runs) > 3
    best = names(world)[0]
    assert best == sorted(["curve.png", "model.pt", *(f"epoch-{step}.txt" for step in range(1, 10))])
    assert holders(world) == [0]
    check_store(world)


def test_after_a_loss_what_is_said_too_late_is_refused_and_deleted() -> None:
    world = World(make_spec(trials=1), modelling(by_order))
    run = world.until(Artifact)
    kept = set(world.files.artifacts)
    world.lose(run, still_there=True)
    late = run.event(Artifact(ref=run.course.ref("model.pt")))
    world.deliver(late)
    assert world.files.artifacts == kept
    world.vacate(run)
    world.run()
    check_store(world)
    assert names(world) == [["log.csv", "model.pt"]]


def test_a_runner_that_was_never_bound_leaves_nothing_behind() -> None:
    world = World(make_spec(trials=1), modelling(by_order))
    run = world.until(Artifact)
    other = Run(run.course, "another", run.talk)
    other.said += run.said[:1]
    world.deliver(other.event(Artifact(ref=run.course.ref("model.pt"))))
    (kept,) = world.files.artifacts
    world.deliver(other.event(Artifact(ref=ArtifactRef(id=kept, filename="model.pt", mimetype="a/b", kind="model"))))
    assert world.files.artifacts == {kept}, "what the bound one has kept stays"
    world.run()
    check_store(world)


def test_while_no_runner_is_bound_nothing_is_deleted() -> None:
    """The start may have been lost with the server; it comes again, and the file's record behind it."""
    world = World(make_spec(trials=1), modelling(by_order))
    job = world._take_job()
    assert job is not None
    started = world.start(world.slots[0], job)
    run = world.slots[0].run
    assert run is not None
    artifact = run.event(Artifact(ref=run.course.ref("model.pt")))
    world.deliver(artifact)
    assert not records(world, 0)
    world.deliver(started)
    world.deliver(artifact)
    assert records(world, 0)
    check_store(world)


def test_no_attempt_may_name_the_file_of_another_attempt() -> None:
    world = World(make_spec(trials=2), modelling(by_order))
    first = world.until(Finished)
    (id,) = [id for id, name in records(world, 0).items() if name == "model.pt"]
    assert first.job.trial == 0
    run = world.until(Epoch)
    assert run.job.trial == 1
    for kind in ("model", "file", "elsewhere"):
        ref = ArtifactRef(id=id, filename="model.pt", mimetype="a/b", kind=kind)  # type: ignore[arg-type]
        world.deliver(run.event(Artifact(ref=ref)))
    unannounced = ArtifactRef(id=world.files.keep(first.job.token), filename="x", mimetype="a/b")
    world.deliver(run.event(Artifact(ref=unannounced)))
    assert not records(world, 1)
    world.lose(run, still_there=True)
    world.deliver(run.event(Artifact(ref=ArtifactRef(id=id, filename="x", mimetype="a/b", kind="model"))))
    assert id in world.files.artifacts
    assert id in records(world, 0)


def test_what_the_objective_has_put_elsewhere_is_recorded_and_never_deleted() -> None:
    def objective(course: Course) -> Talk:
        yield Epoch(step=0, value=1.0)
        for _ in range(2):
            yield Artifact(
                ref=ArtifactRef(id=f"own-{course.number}", filename="model.pt", mimetype="a/b", kind="elsewhere")
            )
        return float(course.number)

    world = World(make_spec(trials=3, keep_models=1), objective).run()
    assert [list(records(world, number)) for number in range(3)] == [["own-0"], ["own-1"], ["own-2"]]
    assert not [batch for batch in world.batches if batch.artifact_discards]


@pytest.mark.parametrize("slots", [1, 3])
def test_a_control_plane_that_starts_anew_after_every_batch_keeps_the_same(slots: int) -> None:
    def rows(rebuild: bool) -> str:
        spec = make_spec(trials=8, keep_models=2, direction="maximize")
        world = World(spec, modelling(by_order), slots, rebuild=rebuild, shuffle=2).run()
        check_store(world)
        return world.ledger.rows()

    assert rows(True) == rows(False)


@pytest.mark.parametrize("keep", [None, 2])
def test_what_a_dead_control_plane_was_to_delete_goes_at_the_next_start(keep: int | None) -> None:
    world = World(make_spec(trials=6, keep_models=keep), modelling(by_order), 2)
    while not world.batches[-1].notices:
        world.step()
    ended = world.batches[-1].notices[0].number
    left = world.files.keep(next(run.job.token for run in world.runs if run.job.trial == ended))
    live = next(slot.run for slot in world.slots if slot.run)
    announced = live.event(Artifact(ref=live.course.ref("model.pt"))).body
    world.rebuild()
    assert isinstance(announced, Artifact)
    assert left not in world.files.artifacts
    assert announced.ref.id in world.files.artifacts, "it is still to be announced"
    live.said.pop()
    world.run()
    world.files.drop_artifacts([], world.engine.sweep())
    check_store(world)


def test_fewer_or_more_models_can_be_asked_for_later() -> None:
    spec = make_spec(trials=4)
    world = World(spec, modelling(by_order)).run()
    assert holders(world) == [0, 1, 2, 3]
    world.extend(spec.model_copy(update={"keep_models": 2}))
    assert holders(world) == [1, 3]
    world.extend(spec.model_copy(update={"keep_models": 4, "trials": 6}))
    world.run()
    assert holders(world) == [1, 3, 4, 5]
    check_store(world)


def test_nothing_is_deleted_before_it_is_committed() -> None:
    world = World(make_spec(trials=1), modelling(by_order))
    world.until(Artifact)
    first = set(world.files.artifacts)
    world.hold = True
    world.until(Artifact)
    assert first < world.files.artifacts
    world.hold = False
    world.commit()
    assert not first & world.files.artifacts
    world.run()
    check_store(world)


def test_a_record_that_a_person_has_emptied_spoils_nothing() -> None:
    world = World(make_spec(trials=3, keep_models=1), modelling(by_order))
    world.until(Artifact)
    attrs = world.ledger.trials[0].system_attrs
    (key,) = [key for key in attrs if key.startswith(RECORD)]
    attrs[key] = json.dumps("null")
    world.rebuild()
    run = world.until(Epoch)
    world.leave(run, DIED)
    world.run()
    assert world.state == "finished"
