"""Read data for pages, alert rules and other apps. Measurements are read from roll-ups."""
