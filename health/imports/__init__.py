"""Import monitors, heartbeats and channels from other monitoring systems."""
