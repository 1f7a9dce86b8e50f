"""Compare the portal's payments with Stripe's, correct differences, and record the others as mismatches.

A run reads Stripe's lists page by page and stores a bookmark, so that it can continue after a time limit, a crash or an
outage. A payment's intent that is missing in a list is retrieved by its id before it counts as unknown at Stripe,
because the list may not have been read to its end.
"""
