"""Functions that only read payments."""
