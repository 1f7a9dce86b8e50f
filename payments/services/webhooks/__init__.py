"""Handle Stripe's webhook events: verify, store, process and finally delete them."""
