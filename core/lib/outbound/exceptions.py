"""Define the exceptions of outbound calls. Staff see their messages next to a failed delivery."""


class OutboundError(Exception):
    """The base class of all errors of outbound calls."""


class ForbiddenAddress(OutboundError):
    """The URL is malformed or leads to a forbidden network. A retry cannot succeed."""


class Unavailable(OutboundError):
    """The call had no readable response, for example because of a network error, a timeout or an open breaker.

    `retry_after` is the time in seconds after which a retry may succeed, or None if unknown.
    """

    def __init__(self, name: str, reason: str, retry_after: float | None = None) -> None:
        super().__init__(f"{name}: {reason}")
        self.name = name
        self.reason = reason
        self.retry_after = retry_after


class TooLarge(OutboundError):
    """The response is larger than the client accepts."""
