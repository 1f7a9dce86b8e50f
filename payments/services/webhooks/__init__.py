"""Handle Stripe's webhook events: verify the signature, store the event, process it, and delete it when it is old."""
