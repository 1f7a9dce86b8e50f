"""Compare the portal's payments with Stripe's, correct differences where possible, and record the rest as mismatches.

A run reads Stripe's lists page by page and stores a bookmark, so that it can continue after a time limit, a crash or an
outage. If the intent of a payment is missing in Stripe's list, a full run retrieves the intent by its id before it
records a mismatch, because the list may not have been read to its end.
"""
