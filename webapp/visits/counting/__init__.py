"""Counting: from the stream of beacons to raw rows, visits and roll-ups, in one transaction a batch."""
