"""The payments and seats that a problem affects."""

from alerts.extension_points import Impact, References, impact_sources


def impact_of(references: References) -> Impact:
    """Return everything that the references affect, with the sum of amounts at risk per currency."""
    touched = tuple(item for source in impact_sources for item in source(references))
    at_risk: dict[str, int] = {}
    for item in touched:
        if item.at_risk and item.amount:
            at_risk[item.currency] = at_risk.get(item.currency, 0) + item.amount
    return Impact(touched, at_risk, sum(item.seats for item in touched))
