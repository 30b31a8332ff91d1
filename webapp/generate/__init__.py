"""Realistic synthetic data, seeded and streaming: contacts, products and beacons.

Every module has `write(file, count, seed=1)`: the same seed gives the same bytes, a million rows take
seconds, and memory does not grow with the count.
"""
