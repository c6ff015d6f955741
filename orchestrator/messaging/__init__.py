"""What the control plane and the command line say over Redis and Celery."""
