"""Compare our payments with Stripe's, fix what can be fixed, and record the rest as mismatches.

A run reads Stripe's lists page by page and keeps a bookmark, so that it can be continued after a time limit, a crash
or an outage. A list that was not read to its end proves nothing: before an intent counts as unknown at Stripe, it is
requested by its id.
"""
