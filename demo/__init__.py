"""A shop to look at: simulated visitors, buyers, gates and functions that talk to the portal through its public endpoints."""
