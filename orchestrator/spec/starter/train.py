"""A classifier of handwritten digits, trained epoch by epoch. Replace it with your own training."""

from __future__ import annotations

import optuna
from sklearn.datasets import load_digits
from sklearn.linear_model import SGDClassifier
from sklearn.model_selection import train_test_split

# Loaded once: the process that trains stays, and takes one trial after the other.
images, labels = load_digits(return_X_y=True)
train_x, test_x, train_y, test_y = train_test_split(images / 16.0, labels, test_size=0.3, random_state=0)


def objective(trial: optuna.Trial, *, epochs: int = 20) -> float:
    """Trains with the parameters of one trial; returns the share of test images that are told right.

    An ordinary Optuna objective. What it needs beside the trial comes from the table [args] of search.toml.
    """
    # 1. Ask for parameters, under the names that results will have.
    alpha = trial.suggest_float("alpha", 1e-6, 1e-1, log=True)
    rate = trial.suggest_float("rate", 1e-4, 1.0, log=True)
    loss = trial.suggest_categorical("loss", ["hinge", "log_loss", "modified_huber"])
    penalty = trial.suggest_categorical("penalty", ["l2", "l1", "elasticnet"])

    model = SGDClassifier(
        loss=loss, penalty=penalty, alpha=alpha, learning_rate="constant", eta0=rate, random_state=trial.number
    )
    accuracy = 0.0
    for epoch in range(1, epochs + 1):
        model.partial_fit(train_x, train_y, classes=range(10))
        accuracy = float(model.score(test_x, test_y))

        # 2. Say how good it is after each epoch: this is what trials are pruned by.
        trial.report(accuracy, epoch)
        # 3. Leave where it is not worth going on. A worker also stops the training itself, in the middle of an epoch.
        if trial.should_prune():
            raise optuna.TrialPruned

    # 4. Return what is to be maximized, or minimized: `direction` in search.toml says which.
    return accuracy
