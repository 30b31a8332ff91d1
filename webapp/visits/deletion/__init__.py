"""Deleting a site: first it vanishes and may come back, then a job removes all that was kept of it."""
