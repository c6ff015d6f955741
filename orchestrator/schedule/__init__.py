"""Scheduled runs: the folder of specs, the beat that asks for runs, and the policies for late and overlapping runs."""
