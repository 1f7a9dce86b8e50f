"""Send requests over N keep-alive connections in one epoll loop."""

import array
import contextlib
import errno
import gc
import select
import socket
import time


class Connection:
    __slots__ = (
        "buffers",
        "busy",
        "chunked",
        "close",
        "connecting",
        "event_id",
        "fd",
        "input",
        "need",
        "pending",
        "sock",
        "status",
        "t0",
    )

    def __init__(self):
        self.sock = None
        self.busy = False
        self.connecting = False


class Client:
    def __init__(
        self, addr, requests, connection_count, rate, seconds, events, ids_out, response_timeout
    ):
        self.addr, self.requests, self.connection_count = addr, requests, connection_count
        self.rate, self.seconds, self.events, self.response_timeout = (
            rate,
            seconds,
            events,
            response_timeout,
        )
        self.ids_out = ids_out
        self.epoll = select.epoll()
        self.connections_by_fd = {}
        self.latencies = array.array("d")
        self.statuses, self.errors = {}, {}
        self.connects = 0
        self.log = []
        self.last_ok = 0.0
        self.retry_at = []

    def open(self, c):
        s = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        s.setblocking(False)
        s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        c.sock, c.fd, c.input, c.need, c.close, c.pending = s, s.fileno(), b"", -1, False, None
        self.connects += 1
        r = s.connect_ex(self.addr)
        self.connections_by_fd[c.fd] = c
        if r in (0, errno.EISCONN):
            c.connecting = False
            self.epoll.register(c.fd, select.EPOLLIN)
        elif r == errno.EINPROGRESS:
            c.connecting = True
            self.epoll.register(c.fd, select.EPOLLOUT)
        else:
            self.drop(c)
            return errno.errorcode.get(r, str(r))
        return None

    def drop(self, c):
        if c.sock is not None:
            with contextlib.suppress(OSError, ValueError):
                self.epoll.unregister(c.fd)
            self.connections_by_fd.pop(c.fd, None)
            c.sock.close()
            c.sock = None

    def fail(self, c, why):
        self.errors[why] = self.errors.get(why, 0) + 1
        if c.busy:
            self.log.append((c.event_id, "err:" + why))
        c.busy = False
        self.drop(c)
        self.retry_at.append((time.perf_counter() + 0.05, c))

    def send(self, c, event_id, buffers, total, t0):
        c.busy, c.event_id, c.t0 = True, event_id, t0
        if c.sock is None:
            why = self.open(c)
            if why:
                self.fail(c, why)
                return
            if c.connecting:
                c.buffers = (buffers, total)
                return
        self.push(c, buffers, total)

    def push(self, c, buffers, total):
        try:
            sent = c.sock.sendmsg(buffers)
        except BlockingIOError:
            sent = 0
        except OSError as e:
            self.fail(c, type(e).__name__)
            return
        if sent < total:
            c.pending = memoryview(b"".join(buffers))[sent:]
            self.epoll.modify(c.fd, select.EPOLLIN | select.EPOLLOUT)

    def on_write(self, c):
        if c.connecting:
            err = c.sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
            if err:
                self.fail(c, errno.errorcode.get(err, str(err)))
                return
            c.connecting = False
            self.epoll.modify(c.fd, select.EPOLLIN)
            buffers, total = c.buffers
            c.buffers = None
            self.push(c, buffers, total)
            return
        if c.pending is not None:
            try:
                sent = c.sock.send(c.pending)
            except BlockingIOError:
                return
            except OSError as e:
                self.fail(c, type(e).__name__)
                return
            c.pending = c.pending[sent:]
            if not len(c.pending):
                c.pending = None
                self.epoll.modify(c.fd, select.EPOLLIN)

    def on_read(self, c):
        """Read the data that has arrived, and return True if the response is complete."""
        try:
            data = c.sock.recv(65536)
        except BlockingIOError:
            return False
        except OSError as e:
            self.fail(c, type(e).__name__)
            return False
        if not c.busy:  # The server closed an idle connection.
            self.drop(c)
            return False
        if not data:
            if c.need == -2:  # The body ends when the connection is closed.
                return self.done(c, True)
            if c.input or c.pending is not None:
                self.fail(c, "closed-mid-request")
            else:
                self.fail(c, "closed-without-response")
            return False
        received = c.input = c.input + data if c.input else data
        if c.need < 0 and c.need != -2:
            end = received.find(b"\r\n\r\n")
            if end < 0:
                return False
            head = received[:end].lower()
            c.status = int(received[9:12])
            c.close = b"\r\nconnection: close" in head or received.startswith(b"HTTP/1.0")
            c.chunked = b"\r\ntransfer-encoding: chunked" in head
            at = head.find(b"\r\ncontent-length:")
            if at >= 0:
                stop = head.find(b"\r\n", at + 2)
                c.need = end + 4 + int(head[at + 17 : stop if stop > 0 else len(head)])
            elif c.chunked:
                c.need = 1 << 60
            elif c.status in (204, 304):
                c.need = end + 4
            else:
                c.need = -2
                return False
        if c.need == 1 << 60:
            if received.endswith(b"0\r\n\r\n"):
                return self.done(c, c.close)
            return False
        if c.need >= 0 and len(received) >= c.need:
            return self.done(c, c.close)
        return False

    def done(self, c, close):
        now = time.perf_counter()
        self.latencies.append(now - c.t0)
        s = c.status
        self.statuses[s] = self.statuses.get(s, 0) + 1
        if self.ids_out:
            self.log.append((c.event_id, str(s)))
        self.last_ok = now
        c.input, c.need, c.busy = b"", -1, False
        if close:
            self.drop(c)
        return True

    def run(self, source):
        connections = [Connection() for _ in range(self.connection_count)]
        perf = time.perf_counter
        gc.collect()
        gc.freeze()
        gc.disable()
        cpu0 = time.process_time()
        start = self.last_ok = perf()
        stop_at = start + self.seconds if self.seconds else float("inf")
        idle, sent, exhausted = list(connections), 0, False
        interval = 1 / self.rate if self.rate else 0
        while True:
            now = perf()
            if now >= stop_at:
                exhausted = True
            if self.retry_at:
                ready = [c for t, c in self.retry_at if t <= now]
                if ready:
                    self.retry_at = [(t, c) for t, c in self.retry_at if t > now]
                    idle.extend(ready)
            if now - self.last_ok > self.response_timeout:
                self.errors["gave-up"] = 1
                break
            while idle and not exhausted:
                if interval:
                    due = start + sent * interval
                    if due > now:
                        break
                try:
                    event_id, buffers, total = next(source)
                except StopIteration:
                    exhausted = True
                    break
                c = idle.pop()
                sent += 1
                self.send(c, event_id, buffers, total, due if interval else perf())
            if exhausted and len(idle) + len(self.retry_at) == self.connection_count:
                break
            timeout = 0.2
            if interval and idle and not exhausted:
                timeout = max(0.0, min(0.2, start + sent * interval - perf()))
            if self.retry_at:
                timeout = min(timeout, 0.02)
            for fd, ev in self.epoll.poll(timeout):
                c = self.connections_by_fd.get(fd)
                if c is None:
                    continue
                if ev & select.EPOLLIN:
                    if self.on_read(c):
                        if exhausted or interval:
                            idle.append(c)
                            continue
                        if perf() >= stop_at:
                            exhausted = True
                            idle.append(c)
                            continue
                        try:
                            event_id, buffers, total = next(source)
                        except StopIteration:
                            exhausted = True
                            idle.append(c)
                            continue
                        sent += 1
                        self.send(c, event_id, buffers, total, perf())
                elif ev & select.EPOLLOUT:
                    self.on_write(c)
                elif ev & (select.EPOLLHUP | select.EPOLLERR):
                    if c.busy:
                        err = c.sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
                        self.fail(c, errno.errorcode.get(err, "hup"))
                    else:
                        self.drop(c)
        end = max(self.last_ok, start + 1e-9)
        return start, end, sent, time.process_time() - cpu0
