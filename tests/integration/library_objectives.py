"""Ordinary Optuna objectives on well-known libraries, as they are written for ``study.optimize``; tiny, on the CPU.

Nothing here knows of this program. Libraries are imported where they are used, so that each may be missing. All report
a log loss: with the fast learning rate it falls soon, with the slow one it stays where it began.
"""

from __future__ import annotations

import functools
import itertools
import json
import sys
import warnings
from typing import Any

import numpy as np
import optuna
from sklearn.datasets import load_breast_cancer
from sklearn.model_selection import train_test_split

ROUNDS = 300
RATES = {"fast": 0.2, "slow": 1e-5}
UPPER, WARMUP = 0.6, 6
"""What the pruner goes by: a trial that is above after as many steps is lost."""


def data() -> Any:
    """Returns training and test features, training and test labels; the same every time."""
    x, y = load_breast_cancer(return_X_y=True)
    return train_test_split(x.astype(np.float32), y, random_state=0, test_size=0.3)


def rate(trial: optuna.Trial) -> float:
    return RATES[trial.suggest_categorical("rate", list(RATES))]


def sklearn(trial: optuna.Trial) -> float:
    from sklearn.linear_model import SGDClassifier
    from sklearn.metrics import log_loss
    from sklearn.preprocessing import StandardScaler

    train_x, test_x, train_y, test_y = data()
    scaler = StandardScaler().fit(train_x)
    train_x, test_x = scaler.transform(train_x), scaler.transform(test_x)
    model = SGDClassifier(loss="log_loss", learning_rate="constant", eta0=rate(trial) / 100, random_state=0)
    value = 0.0
    for step in range(ROUNDS):
        model.partial_fit(train_x, train_y, classes=[0, 1])
        value = log_loss(test_y, model.predict_proba(test_x))
        trial.report(value, step)
        if trial.should_prune():
            raise optuna.TrialPruned
    return float(value)


def lightgbm(trial: optuna.Trial) -> float:
    import lightgbm as lgb
    from optuna_integration import LightGBMPruningCallback

    train_x, test_x, train_y, test_y = data()
    found: dict[str, Any] = {}
    lgb.train(
        {
            "objective": "binary",
            "metric": "binary_logloss",
            "learning_rate": rate(trial),
            "num_leaves": 4,
            "num_threads": 1,
            "deterministic": True,
            "verbosity": -1,
        },
        lgb.Dataset(train_x, train_y),
        num_boost_round=ROUNDS,
        valid_sets=[lgb.Dataset(test_x, test_y)],
        callbacks=[LightGBMPruningCallback(trial, "binary_logloss"), lgb.record_evaluation(found)],
    )
    return float(found["valid_0"]["binary_logloss"][-1])


def xgboost(trial: optuna.Trial) -> float:
    import xgboost as xgb
    from optuna_integration import XGBoostPruningCallback

    train_x, test_x, train_y, test_y = data()
    found: dict[str, Any] = {}
    xgb.train(
        {
            "objective": "binary:logistic",
            "eval_metric": "logloss",
            "eta": rate(trial),
            "max_depth": 2,
            "nthread": 1,
        },
        xgb.DMatrix(train_x, train_y),
        num_boost_round=ROUNDS,
        evals=[(xgb.DMatrix(test_x, test_y), "validation")],
        evals_result=found,
        verbose_eval=False,
        callbacks=[XGBoostPruningCallback(trial, "validation-logloss")],
    )
    return float(found["validation"]["logloss"][-1])


def xgboost_by_cloning(trial: optuna.Trial) -> float:
    """scikit-learn clones the estimator, and with it the callback and its trial."""
    from optuna_integration import XGBoostPruningCallback
    from sklearn.base import clone
    from xgboost import XGBClassifier

    train_x, test_x, train_y, test_y = data()
    model = XGBClassifier(
        n_estimators=ROUNDS,
        learning_rate=rate(trial),
        max_depth=2,
        n_jobs=1,
        eval_metric="logloss",
        callbacks=[XGBoostPruningCallback(trial, "validation_0-logloss")],
    )
    model = clone(model).fit(train_x, train_y, eval_set=[(test_x, test_y)], verbose=False)
    return float(model.evals_result()["validation_0"]["logloss"][-1])


def catboost(trial: optuna.Trial) -> float:
    from catboost import CatBoostClassifier
    from optuna_integration import CatBoostPruningCallback

    train_x, test_x, train_y, test_y = data()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        pruning = CatBoostPruningCallback(trial, "Logloss")
    model = CatBoostClassifier(
        iterations=ROUNDS,
        learning_rate=rate(trial),
        depth=2,
        random_seed=0,
        thread_count=1,
        allow_writing_files=False,
        verbose=False,
    )
    model.fit(train_x, train_y, eval_set=[(test_x, test_y)], callbacks=[pruning])
    pruning.check_pruned()
    return float(model.evals_result_["validation"]["Logloss"][-1])


def torch(trial: optuna.Trial) -> float:
    """With two DataLoader workers, forked."""
    import torch as th
    from torch.utils.data import DataLoader, TensorDataset

    th.manual_seed(0)
    th.set_num_threads(1)
    train_x, test_x, train_y, test_y = (th.as_tensor(each) for each in data())
    mean, deviation = train_x.mean(0), train_x.std(0)
    train_x, test_x = (train_x - mean) / deviation, (test_x - mean) / deviation
    model = th.nn.Linear(train_x.shape[1], 2)
    optimizer = th.optim.SGD(model.parameters(), lr=rate(trial))
    loader = DataLoader(
        TensorDataset(train_x, train_y),
        batch_size=64,
        shuffle=True,
        num_workers=2,
        persistent_workers=True,
        multiprocessing_context="fork",
    )
    loss = th.nn.functional.cross_entropy
    value = 0.0
    for step in range(60):
        for x, y in loader:
            optimizer.zero_grad()
            loss(model(x), y).backward()
            optimizer.step()
        with th.no_grad():
            value = loss(model(test_x), test_y)
        trial.report(value, step)
        if trial.should_prune():
            raise optuna.TrialPruned
    return value


def lightning(trial: optuna.Trial) -> float:
    import logging

    import lightning.pytorch as pl
    import torch as th
    from optuna_integration import PyTorchLightningPruningCallback
    from torch.utils.data import DataLoader, TensorDataset

    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    warnings.filterwarnings("ignore")
    pl.seed_everything(0, verbose=False)
    train_x, test_x, train_y, test_y = (th.as_tensor(each) for each in data())
    mean, deviation = train_x.mean(0), train_x.std(0)

    class Model(pl.LightningModule):
        def __init__(self) -> None:
            super().__init__()
            self.layer = th.nn.Linear(train_x.shape[1], 2)

        def loss(self, batch: Any) -> th.Tensor:
            x, y = batch
            return th.nn.functional.cross_entropy(self.layer((x - mean) / deviation), y)

        def training_step(self, batch: Any) -> th.Tensor:
            return self.loss(batch)

        def validation_step(self, batch: Any) -> None:
            self.log("val_loss", self.loss(batch))

        def configure_optimizers(self) -> Any:
            return th.optim.SGD(self.parameters(), lr=rate(trial))

    pruning = PyTorchLightningPruningCallback(trial, "val_loss")
    trainer = pl.Trainer(
        accelerator="cpu",
        max_epochs=20,
        callbacks=[pruning],
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    trainer.fit(
        Model(),
        DataLoader(TensorDataset(train_x, train_y), batch_size=128, shuffle=True),
        DataLoader(TensorDataset(test_x, test_y), batch_size=256),
    )
    pruning.check_pruned()
    return float(trainer.callback_metrics["val_loss"])


OBJECTIVES = {
    "sklearn": sklearn,
    "lightgbm": lightgbm,
    "xgboost": xgboost,
    "xgboost_by_cloning": xgboost_by_cloning,
    "catboost": catboost,
    "torch": torch,
    "lightning": lightning,
}


def any_of_them(trial: optuna.Trial, *, libraries: str) -> float:
    """One study for all that are named, divided by commas, since a process takes long to import them."""
    return OBJECTIVES[trial.suggest_categorical("library", libraries.split(","))](trial)


def main() -> None:
    """Runs each of the libraries named as arguments with each rate on plain Optuna, and prints the trials as JSON."""
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    study = optuna.create_study(pruner=optuna.pruners.ThresholdPruner(upper=UPPER, n_warmup_steps=WARMUP))
    for library, speed in itertools.product(sys.argv[1:], RATES):
        study.enqueue_trial({"library": library, "rate": speed})
    objective = functools.partial(any_of_them, libraries=",".join(sys.argv[1:]))
    study.optimize(objective, n_trials=2 * len(sys.argv[1:]))
    rows = [[each.params, each.state.name, each.value, list(each.intermediate_values.items())] for each in study.trials]
    print(json.dumps(rows))


if __name__ == "__main__":
    main()
