"""The only place that knows Optuna's tables and ours."""
