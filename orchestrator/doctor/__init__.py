"""Checking an installation: facts are gathered, findings drawn from them, and what is safe to mend is mended."""
