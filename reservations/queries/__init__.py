"""Functions that only read reservations."""
