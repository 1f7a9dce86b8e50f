"""Test the files in deploy/, and a cluster of several hosts on one machine."""
