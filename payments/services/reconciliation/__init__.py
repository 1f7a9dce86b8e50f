"""Compare the portal's payments with Stripe's, correct differences where possible, and record the rest as mismatches.

A run reads Stripe's lists page by page and stores a bookmark, so that it can continue after a time limit, a crash or an
outage. If the intent of a payment is missing in a list, it is retrieved by its id before it counts as unknown at
Stripe, because the list may not have been read to its end.
"""
