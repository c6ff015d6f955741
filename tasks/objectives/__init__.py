"""Objectives that are ready to search: ordinary Optuna objective functions, nothing of the queue in them."""
