"""Compare the portal's payments with Stripe's, correct differences, and record the remaining ones as mismatches.

A run reads Stripe's lists page by page and keeps a bookmark, so that it can be continued after a time limit, a crash
or an outage. An intent may be missing in a list that was not read to its end. Therefore, the intent is retrieved by its
id before it counts as unknown at Stripe.
"""
