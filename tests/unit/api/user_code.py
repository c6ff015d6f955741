"""Code of a user's, which ``mypy --strict`` has to accept; ``test_user_types.py`` says what it has to find besides."""

from __future__ import annotations

import asyncio
from pathlib import Path

import optuna

from orchestrator import BadInput, Fleet, Search, StudyFailed, StudyHandle, connect


def objective(trial: optuna.Trial, *, epochs: int = 3) -> float:
    value = 0.0
    for epoch in range(epochs):
        value = trial.suggest_float("x", 0.0, 1.0) * epoch
        trial.report(value, epoch)
    return value


def search() -> Search:
    return Search(
        objective,
        name="one",
        direction="maximize",
        trials=20,
        timeout="2h",
        sampler=optuna.samplers.TPESampler(seed=1),
        pruner=optuna.pruners.MedianPruner(),
        shadow={"name": "asha", "min_resource": 1},
        space={
            "x": optuna.distributions.FloatDistribution(0.0, 1.0),
            "n": {"type": "int", "low": 1, "high": 3},
        },
        catch=[ValueError, "torch.cuda.OutOfMemoryError"],
        args={"epochs": 5},
    )


def run() -> dict[str, float]:
    try:
        study: optuna.Study = search().run(slots=4, data_dir=Path("data"), progress=False)
    except (BadInput, StudyFailed) as error:
        print(error)
        return {}
    return study.best_params


def look(fleet: Fleet) -> list[float]:
    found = []
    for name, study in fleet.items():
        status = study.status()
        if study.best is not None:
            found.append(study.best.value)
        print(name, status.state, status.eta, [slot.trial for slot in status.slots], study.why(0).text)
        for line in study.logs(0, follow=True):
            print(line.upper())
    return found


async def follow(study: StudyHandle) -> None:
    async for event in study.events():
        print(event)


def steer() -> None:
    with connect("redis://localhost:6379/0", storage_url="sqlite:////tmp/studies.db") as fleet:
        study = search().submit(fleet)
        print(study.pause().upper(), study.enqueue({"x": 0.5}).number, fleet["one"].wait(timeout=5).best_value)
        asyncio.run(follow(study))
        print(Search.from_file("mine.toml", trials=3).spec.trials + 1, study.report().html.name)
