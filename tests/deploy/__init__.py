"""Tests of the files in deploy/, and of a cluster of several hosts on one machine."""
