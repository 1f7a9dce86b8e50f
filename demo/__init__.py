"""Simulate a shop whose visitors, buyers, gates and functions use the portal through the public endpoints."""
