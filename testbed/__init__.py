"""Docker hosts to try things on, for tests and measurements.

Nothing of `mooring` is imported here but by `hanging`, which is a program of its own.
"""
