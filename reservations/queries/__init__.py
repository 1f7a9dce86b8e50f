"""Read reservations without changing them."""
