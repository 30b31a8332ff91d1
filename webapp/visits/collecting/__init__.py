"""The door: beacons of websites and their servers, checked, completed, and handed on to be counted.

Its modules know neither Flask nor the ORM, since the edge runs them; only `api` does.
"""
