"""The messages of the control plane and the command line over Redis and Celery."""
