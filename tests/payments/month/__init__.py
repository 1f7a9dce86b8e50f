"""Run a shop in compressed time, with orders, the portal's jobs, staff who work every morning, and injected faults.

Every fault must open exactly one case, or none if the portal corrects it automatically. Nothing else may open a case or
an alert, and staff can resolve every case. `python -m bench.shop_month` runs the shop for a month.
"""
