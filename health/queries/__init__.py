"""Functions that only read, for pages, alert rules and other apps. Measurements are read from roll-ups."""
