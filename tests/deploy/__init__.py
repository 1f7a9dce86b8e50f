"""Test the files in deploy/, and a cluster of several hosts that runs on one machine."""
