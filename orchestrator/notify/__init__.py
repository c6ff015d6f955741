"""Notifications about searches: they are committed first, then delivered beside the loop."""
