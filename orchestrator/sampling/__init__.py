"""The staged storage, the trial sampler, and pruners of Optuna's or the user's own class."""
