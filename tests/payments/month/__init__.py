"""A shop for a while, with its time compressed: orders, the portal's jobs, staff every morning, and injected faults.

Every fault has exactly one case, or none if the portal puts it right without help; nothing else has a case or an alert;
every case ends when staff put it right. `python -m bench.shop_month` runs a month of it.
"""
