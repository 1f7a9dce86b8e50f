"""Run a real DNS server on loopback (UDP) that answers from a table."""

import socket
import threading

import dns.exception
import dns.flags
import dns.message
import dns.rcode
import dns.rdatatype
import dns.rrset


class NameServer:
    """A server that answers from `records`, which maps (name, type) to strings.

    It answers with the error `rcode` if this is set, and does not answer if `is_silent` is set.
    """

    def __init__(self) -> None:
        self.records: dict[tuple[str, str], list[str]] = {}
        self.is_silent = False
        self.rcode: dns.rcode.Rcode | None = None
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind(("127.0.0.1", 0))
        self.address = "{}:{}".format(*self._socket.getsockname())
        self._thread = threading.Thread(target=self._serve, daemon=True, name="name server")
        self._thread.start()

    def close(self) -> None:
        self._is_closed = True
        # Send an empty datagram to wake the thread, so that it can exit.
        self._socket.sendto(b"", self._socket.getsockname())
        self._thread.join(2)
        self._socket.close()

    _is_closed = False

    def _serve(self) -> None:
        while not self._is_closed:
            packet, client = self._socket.recvfrom(4096)
            try:
                question = dns.message.from_wire(packet)
            except dns.exception.DNSException:
                continue
            if not self.is_silent:
                self._socket.sendto(self._answer(question).to_wire(), client)

    def _answer(self, question: dns.message.Message) -> dns.message.Message:
        response = dns.message.make_response(question)
        response.flags |= dns.flags.AA | dns.flags.RA
        [asked] = question.question
        name = asked.name.to_text().rstrip(".").lower()
        kind = dns.rdatatype.to_text(asked.rdtype)
        if self.rcode is not None:
            response.set_rcode(self.rcode)
        elif texts := self.records.get((name, kind)):
            response.answer.append(dns.rrset.from_text(asked.name, 300, "IN", kind, *texts))
        elif not any(known == name for known, _ in self.records):
            response.set_rcode(dns.rcode.NXDOMAIN)
        return response
