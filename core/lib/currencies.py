"""Define the decimals, steps and limits of amounts in each currency at Stripe. No other module has such a table.

Source: https://docs.stripe.com/currencies, sections zero-decimal, three-decimal, special cases, and minimum and maximum
charge amounts. Amounts are integers in the minor units of Stripe's API, which are not always the currency's smallest
units: 500 is 5.00 EUR, 500 JPY, 0.500 KWD and 5 ISK.
"""

from dataclasses import dataclass
from decimal import Decimal


@dataclass(frozen=True)
class Currency:
    code: str
    exponent: int = 2  # An API amount is the decimal amount times 10 ** exponent.
    decimals: int = 2  # Amounts are written with this many decimals.
    step: int = 1  # Stripe accepts only multiples of this amount.
    min_charge: int = 1

    @property
    def chargeable_decimals(self) -> int:
        """Return the maximum number of decimals in amounts that Stripe accepts: 2 (EUR, KWD) or 0 (JPY, ISK)."""
        return self.exponent - len(str(self.step)) + 1

    @property
    def decimals_rule(self) -> str:
        """Return the sentence that tells users how many decimals an amount may have."""
        count = self.chargeable_decimals
        if not count:
            return f"Amounts in {self.code} cannot have decimals."
        return (
            f"Amounts in {self.code} can have at most {count} decimal{'' if count == 1 else 's'}."
        )

    def to_decimal(self, amount: int) -> Decimal:
        """Convert an API amount to a decimal amount: 500 -> 5.00 (EUR), 5 (ISK)."""
        exact = Decimal(amount).scaleb(-self.exponent)
        written = exact.quantize(Decimal(1).scaleb(-self.decimals))
        # Old payments in ISK and UGX may have a fraction, which must not be hidden.
        return written if written == exact else exact

    def from_decimal(self, amount: Decimal) -> int | None:
        """Convert a decimal amount to an API amount.

        Return None if the amount has too many decimals or is not a multiple of `step`.
        """
        scaled = amount.scaleb(self.exponent)
        if scaled != scaled.to_integral_value() or scaled % self.step:
            return None
        return int(scaled)


# The currencies that Stripe can charge. They have two decimals unless a table below says otherwise.
_CODES = """
AED AFN ALL AMD ANG AOA ARS AUD AWG AZN BAM BBD BDT BGN BHD BIF BMD BND BOB BRL BSD BWP BYN BZD CAD CDF CHF CLP CNY COP
CRC CVE CZK DJF DKK DOP DZD EGP ETB EUR FJD FKP GBP GEL GIP GMD GNF GTQ GYD HKD HNL HTG HUF IDR ILS INR ISK JMD JOD JPY
KES KGS KHR KMF KRW KWD KYD KZT LAK LBP LKR LRD LSL MAD MDL MGA MKD MMK MNT MOP MUR MVR MWK MXN MYR MZN NAD NGN NIO NOK
NPR NZD OMR PAB PEN PGK PHP PKR PLN PYG QAR RON RSD RUB RWF SAR SBD SCR SEK SGD SHP SLE SOS SRD STD SZL THB TJS TND TOP
TRY TTD TWD TZS UAH UGX USD UYU UZS VND VUV WST XAF XCD XOF XPF YER ZAR ZMW
""".split()  # noqa: SIM905
_ZERO_DECIMAL = frozenset("BIF CLP DJF GNF JPY KMF KRW MGA PYG RWF VND VUV XAF XOF XPF".split())  # noqa: SIM905
_THREE_DECIMAL = frozenset("BHD JOD KWD OMR TND".split())  # noqa: SIM905
# Amounts in these currencies are written without decimals, but API amounts still have two, which must be 00. HUF and
# TWD have this rule for payouts only, which the portal does not make: payments in HUF and TWD may have decimals.
_WITHOUT_FRACTIONS = frozenset(("ISK", "UGX"))
_MIN_CHARGES = {
    "AED": 200,
    "ARS": 50,
    "AUD": 50,
    "BRL": 50,
    "CAD": 50,
    "CHF": 50,
    "COP": 50,
    "CZK": 1500,
    "DKK": 250,
    "EUR": 50,
    "GBP": 30,
    "HKD": 400,
    "HUF": 17500,
    "IDR": 50,
    "ILS": 50,
    "INR": 50,
    "JPY": 50,
    "KRW": 50,
    "MXN": 1000,
    "MYR": 200,
    "NOK": 300,
    "NZD": 50,
    "PHP": 50,
    "PLN": 200,
    "RON": 200,
    "RUB": 50,
    "SEK": 300,
    "SGD": 50,
    "THB": 1000,
    "USD": 50,
    "ZAR": 50,
}


def _currency(code: str) -> Currency:
    minimum = _MIN_CHARGES.get(code, 1)
    if code in _ZERO_DECIMAL:
        return Currency(code, exponent=0, decimals=0, min_charge=minimum)
    if code in _THREE_DECIMAL:
        return Currency(code, exponent=3, decimals=3, step=10, min_charge=minimum)
    if code in _WITHOUT_FRACTIONS:
        return Currency(code, decimals=0, step=100, min_charge=minimum)
    return Currency(code, min_charge=minimum)


CURRENCIES = {code: _currency(code) for code in _CODES}
# The limit of most cards in every currency. Some payment methods accept less, mostly eight digits. Stripe enforces
# their limits, because the buyer chooses the method after the payment was created.
MAX_CHARGE = 999_999_999_999


def currency_of(code: str) -> Currency:
    """Return the currency with this code in upper or lower case.

    Unknown currencies are treated as having two decimals.
    """
    code = code.upper()
    return CURRENCIES.get(code) or Currency(code)
