"""A simulated shop: its visitors, buyers, gates and functions use the portal through the public endpoints."""
