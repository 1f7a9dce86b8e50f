"""Test the files in deploy/, and clusters of several simulated hosts on one machine."""
