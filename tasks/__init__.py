"""The part that runs on a GPU worker. Nothing here imports ``orchestrator`` or knows of a database."""
