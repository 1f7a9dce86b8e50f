"""Run a real SMTP server that stores the e-mails that it receives."""

import logging
import threading
import time
from email import message_from_bytes, policy
from email.message import EmailMessage
from typing import Any

from aiosmtpd.controller import Controller

from tests.servers.process import free_port

# At lower levels, aiosmtpd logs every command.
logging.getLogger("mail.log").setLevel(logging.WARNING)


class MailServer:
    """A server that collects e-mails in `mails`.

    After `refuse_with("451 later")`, the server refuses each message with this reply, until the reply is set to "".
    `refuse_sender_with` does the same for the sender of each message.
    """

    def __init__(self) -> None:
        self.mails: list[EmailMessage] = []
        self.arrived_at: list[float] = []  # Seconds since the epoch, one value per e-mail.
        self._refusal = ""
        self._sender_refusal = ""
        self._lock = threading.Lock()
        self.port = free_port()  # Chosen here, because aiosmtpd cannot choose a free port.
        self._controller = Controller(self, hostname="127.0.0.1", port=self.port)
        self._controller.start()

    def refuse_with(self, answer: str) -> None:
        self._refusal = answer

    def refuse_sender_with(self, answer: str) -> None:
        self._sender_refusal = answer

    async def handle_MAIL(
        self, server: Any, session: Any, envelope: Any, address: str, options: list[str]
    ) -> str:
        if self._sender_refusal:
            return self._sender_refusal
        envelope.mail_from = address
        envelope.mail_options.extend(options)
        return "250 OK"

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:
        if self._refusal:
            return self._refusal
        mail = message_from_bytes(envelope.original_content, policy=policy.default)
        assert isinstance(mail, EmailMessage)
        with self._lock:
            self.mails.append(mail)
            self.arrived_at.append(time.time())
        return "250 OK"

    def wait_for(self, count: int, seconds: float = 30) -> list[EmailMessage]:
        deadline = time.monotonic() + seconds
        while len(self.mails) < count and time.monotonic() < deadline:
            time.sleep(0.01)
        assert len(self.mails) >= count, f"{len(self.mails)} e-mails arrived, {count} were expected"
        return list(self.mails)

    def close(self) -> None:
        self._controller.stop()
