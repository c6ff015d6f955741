"""Trials that are runs of a program in any language: what is started, what it reports, how it is stopped."""
