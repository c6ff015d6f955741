"""A Celery worker whose pool processes are keepers: ``python -m tasks.worker``.

It knows three URLs: that of Redis, from ``ORCHESTRATOR_REDIS_URL``, where checkpoints are kept, from
``ORCHESTRATOR_CHECKPOINT_URL``, and where models and other files are, from ``ORCHESTRATOR_ARTIFACT_URL``. Of a database
it knows nothing. What it runs is found by ``ORCHESTRATOR_OBJECTIVE_PATH``, admitted by ``ORCHESTRATOR_OBJECTIVES``, and
signed where there is an ``ORCHESTRATOR_SIGNING_KEY``.
"""
