"""A Celery worker whose pool processes are keepers: ``python -m tasks.worker``.

It reads ``ORCHESTRATOR_REDIS_URL``, ``ORCHESTRATOR_CHECKPOINT_URL`` and ``ORCHESTRATOR_ARTIFACT_URL``, and cannot reach
a database. ``ORCHESTRATOR_OBJECTIVE_PATH`` names the folders of objectives, ``ORCHESTRATOR_OBJECTIVES`` those that it
admits, ``ORCHESTRATOR_COMMANDS`` the programs that it runs, and ``ORCHESTRATOR_SIGNING_KEY`` the keys
that jobs must be signed with.
"""
