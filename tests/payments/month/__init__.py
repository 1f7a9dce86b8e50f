"""Run a shop in compressed time, with orders, the portal's jobs, staff who resolve cases, and injected faults.

Every fault must open exactly one case, or none if the portal corrects it automatically. No case or alert may have
another cause, and staff must be able to resolve every case. `python -m bench.shop_month` runs the shop for a month.
"""
