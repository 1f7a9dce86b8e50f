"""Run a shop in compressed time, with orders, the portal's jobs, staff every morning, and injected faults.

Every fault has exactly one case, or none if the portal corrects it automatically. Nothing else has a case or an alert,
and every case ends when staff put it right. `python -m bench.shop_month` runs a month of it.
"""
