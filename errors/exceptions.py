"""Define the exceptions of this app, for rejected requests and for events that are not stored."""

from core.lib import read_only


class ErrorsException(Exception):
    """The base class of this app's exceptions."""


# --- the request is at fault -----------------------------------------------------------------------------------


class RequestRejected(ErrorsException):
    """The request cannot be accepted. The response contains the text of the exception."""


class Refused(RequestRejected):
    """The client gets a response with this HTTP status, detail and additional headers."""

    def __init__(self, status: int, detail: str, *headers: tuple[str, str]) -> None:
        super().__init__(detail)
        self.status = status
        self.detail = detail
        self.headers = headers


class Unreadable(RequestRejected):
    """The content is invalid or incomplete, or differs from what its headers announce. The client gets a 400."""


class Filtered(ErrorsException):
    """An inbound filter of the app drops this event. The sender gets a 200."""

    def __init__(self, event_id: str, filter_name: str) -> None:
        super().__init__(f"dropped by the filter {filter_name}")
        self.event_id = event_id
        self.filter_name = filter_name


class BodyTimeout(RequestRejected):
    """The body did not arrive in time. The client gets a 408."""


class TooLarge(RequestRejected):
    """The body, or a part of it, exceeds its limit. The client gets a 413."""


class UnsupportedEncoding(RequestRejected):
    """The portal cannot decode this Content-Encoding. The client gets a 415."""


class InvalidError(RequestRejected):
    """An item of a plain JSON request is not a valid error. Its result is a 422 that explains what is wrong."""


class InvalidForm(RequestRejected):
    """A form on the staff pages lacks a value or has an invalid value."""


class CannotMerge(RequestRejected):
    """The groups belong to different apps, or fewer than two of them are unmerged."""


class OverQuota(RequestRejected):
    """The app has used up one of its quotas. The client gets a 429."""

    def __init__(self, quota_name: str, retry_after: int) -> None:
        super().__init__(quota_name)
        self.quota_name = quota_name
        self.retry_after = retry_after  # Seconds until the client may retry.


class ClientDisconnected(ErrorsException):
    """The client closed the connection before the whole body had arrived, so there is no response."""


# --- the portal is at fault ------------------------------------------------------------------------------------


class NotCached(ErrorsException):
    """The key must be looked up in the database, but the caller does not allow queries."""


class Unavailable(ErrorsException):
    """The events are not stored. The client gets a 503 and should retry later."""

    retry_after = 5  # Seconds until the client may retry.


class AuthUnavailable(Unavailable):
    """The database is unavailable, and the request's key is not cached. The client gets a 503."""


class ReadOnly(Unavailable):
    """The portal is temporarily read-only. The client gets a 503."""

    retry_after = read_only.RETRY_AFTER_SECONDS


class StorageUnavailable(Unavailable):
    """The storage of source maps does not respond. The client gets a 503."""


class NotStorable(ErrorsException):
    """The database rejects this event even if it is committed alone. The portal has a bug; the client gets a 500."""


class StoreDisconnected(ErrorsException):
    """A web process closed its connection to the store process, so the store process cannot send outcomes to it."""


class BrokenUpload(Exception):
    """An upload of build artifacts cannot be used. The uploading user sees the text of the exception."""
