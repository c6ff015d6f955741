"""Telling people what becomes of their searches: notes that are committed first, then delivered beside the loop."""
