"""Diagnosis of an installation: gathers facts, derives findings, applies safe repairs."""
