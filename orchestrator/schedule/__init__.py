"""Scheduled runs: what a beat asks for, what the control plane makes of it, and how it is shown."""
