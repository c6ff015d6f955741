"""The slot's supervisor: a Celery pool process that keeps a warm trainer, speaks to Redis for it, and outlives it."""
