"""An objective that uses Optuna's artifact store, terminator and the like, as Optuna's documentation shows them."""

from __future__ import annotations

import pickle
import warnings
from pathlib import Path

import cloudpickle
import optuna
import optuna.importance
import optuna.terminator
import optuna.visualization
from optuna.artifacts import FileSystemArtifactStore, get_all_artifact_meta, upload_artifact
from optuna.trial import TrialState

NOT_ASKED = ("plot_pareto_front", "plot_terminator_improvement", "plot_hypervolume_history")
"""Of the plots: those for several objectives, and one that takes seconds."""


def objective(trial: optuna.Trial, folder: str) -> float:
    from optuna_dashboard import save_note

    x = trial.suggest_float("x", 0, 1)
    n = trial.suggest_int("n", 1, 3)
    study = trial.study
    if not study._is_multi_objective():
        trial.report(x, 0)
    store = FileSystemArtifactStore(folder)
    path = Path(folder, f"notes-{trial.number}.txt")
    path.write_text(f"trial {trial.number}")
    upload_artifact(artifact_store=store, file_path=str(path), study_or_trial=trial)
    (meta,) = get_all_artifact_meta(trial)
    assert meta.filename == path.name
    if trial.number == 0:
        upload_artifact(artifact_store=store, file_path=str(path), study_or_trial=study)
        study.set_user_attr("owner", "me")
        study.enqueue_trial({"x": 0.5, "n": 2}, user_attrs={"why": "to see"})
    save_note(trial, f"note of trial {trial.number}")
    save_note(study, "note of the study")
    with warnings.catch_warnings():
        # Of Optuna's, that parts of it are deprecated or experimental.
        warnings.simplefilter("ignore")
        optuna.terminator.report_cross_validation_scores(trial, [0.1, 0.2])
        complete = study.get_trials(states=(TrialState.COMPLETE,))
        if len(complete) > 1:
            assert set(optuna.importance.get_param_importances(study)) == {"x", "n"}
            assert optuna.terminator.Terminator().should_terminate(study) in (True, False)
            assert study.best_trial.number in [each.number for each in complete]
        for name in optuna.visualization.__all__:
            if name.startswith("plot_") and name not in NOT_ASKED:
                getattr(optuna.visualization, name)(study)
    for dumps in (pickle.dumps, cloudpickle.dumps):
        copied = pickle.loads(dumps({"callback": trial}))["callback"]
        copied.set_user_attr("copied", True)
        assert copied.params == {"x": x, "n": n}
    return x * n
