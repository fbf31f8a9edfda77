"""Docker hosts to try things on, for tests and measurements. Imports nothing from `mooring`."""
