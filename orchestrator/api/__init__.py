"""The Python interface, on which the commands are built. ``orchestrator`` itself exports its public names."""
