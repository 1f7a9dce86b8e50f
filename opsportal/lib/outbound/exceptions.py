"""What can go wrong on the way out. The texts are for people: staff see them beside a failed delivery."""


class OutboundError(Exception):
    """Base of all of these."""


class ForbiddenAddress(OutboundError):
    """The URL is malformed or leads into a network it must not. Trying again is pointless."""


class Unavailable(OutboundError):
    """No answer: network trouble, no answer in time, or the breaker is open.

    `retry_after` is in seconds: when trying again may help, if that is known.
    """

    def __init__(self, name: str, reason: str, retry_after: float | None = None) -> None:
        super().__init__(f"{name}: {reason}")
        self.name = name
        self.reason = reason
        self.retry_after = retry_after


class TooLarge(OutboundError):
    """The answer is larger than the client takes."""
