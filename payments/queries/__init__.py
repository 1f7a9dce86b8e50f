"""Read payments without changing them."""
