"""Probe PostgreSQL, Redis and mail servers by signing in and sending a harmless request.

Each probe connects to an address that the portal has checked. If TLS is required, the probe verifies the certificate
against the host name.
"""

import contextlib
import os
import smtplib
import socket
import ssl
import threading
import time
from collections.abc import Iterator
from typing import Any, BinaryIO, cast

import psycopg

from core.lib import outbound
from core.lib.outbound import guard
from health.checking.network_probes import check_port
from health.checking.values import ProbeFailed
from health.models import Monitor

MAX_REPLY_BYTES = 64 * 1024


class _NamedContext(ssl.SSLContext):
    """A TLS client context that verifies the host name although the connection goes to an IP address."""

    name: str

    def wrap_socket(self, sock: socket.socket, *args: Any, **kwargs: Any) -> ssl.SSLSocket:
        return super().wrap_socket(sock, *args, **{**kwargs, "server_hostname": self.name})


def _tls_context(name: str) -> _NamedContext:
    context = _NamedContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_default_certs()
    context.name = name
    return context


@contextlib.contextmanager
def _cut_off_at(ends_at: float, descriptor: int) -> Iterator[None]:
    """Shut the connection down at `ends_at`, a value of time.monotonic().

    Without this limit, a server that stops answering would block the thread. Errors after that time are raised as
    TimeoutError.
    """
    handle = socket.socket(fileno=os.dup(descriptor))
    is_late = threading.Event()

    def cut_off() -> None:
        is_late.set()
        with contextlib.suppress(OSError):
            handle.shutdown(socket.SHUT_RDWR)

    timer = threading.Timer(max(0.0, ends_at - time.monotonic()), cut_off)
    timer.daemon = True
    timer.start()
    try:
        yield
    except Exception as error:
        if is_late.is_set():
            raise TimeoutError("the server stopped answering within the time limit") from error
        raise
    finally:
        timer.cancel()
        handle.close()


def _checked_addresses(monitor: Monitor, ends_at: float) -> Iterator[tuple[str, float]]:
    """Yield each address of the monitor's host with the seconds available for it.

    Raises ForbiddenAddress if the portal may not connect to an address, and OSError if the host cannot be resolved.
    """
    check_port(monitor)
    addresses = guard.resolve(monitor.host, monitor.port, max(0.001, ends_at - time.monotonic()))
    guard.check_addresses(monitor.host, addresses)
    return guard.share_time(addresses, ends_at - time.monotonic())


# --- PostgreSQL ------------------------------------------------------------------------------------------


def probe_postgresql(monitor: Monitor) -> str:
    """Sign in, run the monitor's query in a read-only transaction, and compare the first value of the result."""
    ends_at = time.monotonic() + float(monitor.timeout_seconds)
    error: outbound.Unavailable | ProbeFailed | None = None
    for address, seconds in _checked_addresses(monitor, ends_at):
        try:
            connection = _connect(monitor, address, seconds)
        except psycopg.Error as failure:
            error = _connection_problem(failure)
            if isinstance(error, ProbeFailed):
                break
            continue
        with contextlib.closing(connection), _cut_off_at(ends_at, connection.fileno()):
            return _run_query(monitor, connection)
    raise error or OSError(f"{monitor.host} has no address")


def _connect(
    monitor: Monitor, address: str, seconds: float
) -> psycopg.Connection[tuple[object, ...]]:
    milliseconds = int(monitor.timeout_seconds) * 1000
    options = f"-c default_transaction_read_only=on -c statement_timeout={milliseconds}"
    parameters: dict[str, Any] = {
        "host": monitor.host,
        "hostaddr": address,
        "port": monitor.port,
        "dbname": monitor.path or "postgres",
        "user": monitor.username or "postgres",
        # Pass the password even if it is empty, and disable the password file. Otherwise, libpq would send the portal's
        # own password from PGPASSWORD or ~/.pgpass to this server.
        "password": monitor.password,
        "passfile": os.devnull,
        "connect_timeout": max(1, round(seconds)),
        "application_name": "opsportal monitor",
        "gssencmode": "disable",
        "options": options,
        "sslmode": "prefer",
    }
    if monitor.requires_tls:
        paths = ssl.get_default_verify_paths()
        parameters |= {"sslmode": "verify-full", "sslrootcert": paths.cafile or "system"}
    return psycopg.connect(autocommit=True, **parameters)


def _connection_problem(error: psycopg.Error) -> outbound.Unavailable | ProbeFailed:
    """Return ProbeFailed if the server refused the sign-in, or Unavailable if it did not respond."""
    lines = [line.strip() for line in str(error).strip().splitlines() if line.strip()]
    text = lines[-1] if "FATAL" in lines[-1] else lines[0]
    if "FATAL: " in text:
        return ProbeFailed(
            f"the server refused the sign-in: {text.partition('FATAL: ')[2].strip()}"
        )
    return outbound.Unavailable("postgresql", text[:300])


def _run_query(monitor: Monitor, connection: psycopg.Connection[tuple[object, ...]]) -> str:
    query = monitor.query.strip() or "SELECT 1"
    cursor = connection.cursor()
    rows = cursor.stream(query.encode())
    try:
        row = next(rows, None)
    except psycopg.errors.QueryCanceled:
        raise ProbeFailed("the query took longer than the time limit") from None
    except psycopg.DatabaseError as error:
        lines = str(error).strip().splitlines() or [type(error).__name__]
        raise ProbeFailed(f"the query failed: {lines[0][:300]}") from error
    value = "no rows" if not row else _value_text(row[0])
    expected = monitor.expected_value.strip()
    if expected and value != expected:
        raise ProbeFailed(
            f"the query's first value is “{value[:100]}”, expected “{expected[:100]}”"
        )
    version = connection.info.parameter_status("server_version") or ""
    shown = f", the query returned {value[:100]}" if monitor.query.strip() else ""
    return f"PostgreSQL {version.split(' ')[0]}{shown}"


def _value_text(value: object) -> str:
    match value:
        case None:
            return "null"
        case bool():
            return "true" if value else "false"
    return str(value)


# --- Redis -----------------------------------------------------------------------------------------------


def probe_redis(monitor: Monitor) -> str:
    """Sign in, select the database, and send PING.

    See https://redis.io/docs/latest/develop/reference/protocol-spec/.
    """
    ends_at = time.monotonic() + float(monitor.timeout_seconds)
    check_port(monitor)
    raw = guard.connect(monitor.host, monitor.port, float(monitor.timeout_seconds))
    with contextlib.ExitStack() as stack:
        connection: socket.socket = stack.enter_context(raw)
        stack.enter_context(_cut_off_at(ends_at, raw.fileno()))
        if monitor.is_encrypted:
            wrapped = _tls_context(monitor.host).wrap_socket(connection)
            connection = stack.enter_context(wrapped)
        replies = cast(BinaryIO, stack.enter_context(connection.makefile("rb")))
        if monitor.password:
            user = [monitor.username] if monitor.username else []
            _ask_redis(connection, replies, "AUTH", *user, monitor.password)
        if monitor.path and monitor.path != "0":
            _ask_redis(connection, replies, "SELECT", monitor.path)
        answer = _ask_redis(connection, replies, "PING")
    if answer != "PONG":
        raise ProbeFailed(f"the server answered PING with “{answer[:100]}”")
    return "PONG"


def _ask_redis(connection: socket.socket, replies: BinaryIO, *command: str) -> str:
    parts = [part.encode() for part in command]
    sent = b"*%d\r\n" % len(parts) + b"".join(b"$%d\r\n%b\r\n" % (len(p), p) for p in parts)
    connection.sendall(sent)
    line = replies.readline(MAX_REPLY_BYTES)
    if not line.endswith(b"\r\n"):
        raise OSError("the server closed the connection")
    text = line[1:].strip().decode(errors="replace")
    if line[:1] == b"-":
        raise ProbeFailed(f"the server refused {command[0]}: {text[:200]}")
    if line[:1] != b"+":
        raise ProbeFailed("the server does not use the Redis protocol")
    return text


# --- SMTP ------------------------------------------------------------------------------------------------


def probe_smtp(monitor: Monitor) -> str:
    """Greet the mail server, start TLS and sign in if the monitor requires it, and quit without sending mail."""
    ends_at = time.monotonic() + float(monitor.timeout_seconds)
    error: OSError | None = None
    for address, seconds in _checked_addresses(monitor, ends_at):
        client = _smtp_client(monitor, seconds)
        try:
            code, greeting = client.connect(address, monitor.port)
        except OSError as failure:
            client.close()
            error = failure
            continue
        assert client.sock is not None
        with contextlib.closing(client), _cut_off_at(ends_at, client.sock.fileno()):
            if code != 220:
                raise ProbeFailed(f"the server greeted with {code} {_smtp_text(greeting)}")
            return _talk_smtp(monitor, client, _smtp_text(greeting))
    raise error or OSError(f"{monitor.host} has no address")


def _smtp_client(monitor: Monitor, seconds: float) -> smtplib.SMTP:
    name = socket.gethostname()
    if monitor.url.startswith("smtps:"):
        context = _tls_context(monitor.host)
        return smtplib.SMTP_SSL(timeout=seconds, local_hostname=name, context=context)
    return smtplib.SMTP(timeout=seconds, local_hostname=name)


def _talk_smtp(monitor: Monitor, client: smtplib.SMTP, greeting: str) -> str:
    try:
        client.ehlo_or_helo_if_needed()
        if monitor.requires_tls and not monitor.url.startswith("smtps:"):
            if not client.has_extn("starttls"):
                raise ProbeFailed("the server does not offer STARTTLS")
            client.starttls(context=_tls_context(monitor.host))
            client.ehlo()
        if monitor.username:
            client.login(monitor.username, monitor.password)
        with contextlib.suppress(smtplib.SMTPException):
            client.quit()
    except smtplib.SMTPAuthenticationError as error:
        text = f"the server refused the sign-in: {error.smtp_code} {_smtp_text(error.smtp_error)}"
        raise ProbeFailed(text) from None
    except smtplib.SMTPServerDisconnected:
        raise OSError("the server closed the connection") from None
    except smtplib.SMTPResponseException as error:
        raise ProbeFailed(
            f"the server answered {error.smtp_code} {_smtp_text(error.smtp_error)}"
        ) from None
    except smtplib.SMTPException as error:
        raise ProbeFailed(str(error)) from None
    return f"220 {greeting[:200]}"


def _smtp_text(text: bytes | str) -> str:
    shown = text.decode(errors="replace") if isinstance(text, bytes) else text
    return " ".join(shown.split())[:200]
