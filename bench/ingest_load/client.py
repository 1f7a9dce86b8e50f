"""N keep-alive connections in one epoll loop."""

import array
import contextlib
import errno
import gc
import select
import socket
import time


class Conn:
    __slots__ = (
        "bufs",
        "busy",
        "chunked",
        "close",
        "connecting",
        "eid",
        "fd",
        "inbuf",
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
    def __init__(self, addr, requests, connections, rate, seconds, events, ids_out, dead_s):
        self.addr, self.requests, self.n = addr, requests, connections
        self.rate, self.seconds, self.events, self.dead_s = rate, seconds, events, dead_s
        self.ids_out = ids_out
        self.ep = select.epoll()
        self.by_fd = {}
        self.lat = array.array("d")
        self.statuses, self.errors = {}, {}
        self.connects = 0
        self.log = []
        self.last_ok = 0.0
        self.retry_at = []

    def open(self, c):
        s = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        s.setblocking(False)
        s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        c.sock, c.fd, c.inbuf, c.need, c.close, c.pending = s, s.fileno(), b"", -1, False, None
        self.connects += 1
        r = s.connect_ex(self.addr)
        self.by_fd[c.fd] = c
        if r in (0, errno.EISCONN):
            c.connecting = False
            self.ep.register(c.fd, select.EPOLLIN)
        elif r == errno.EINPROGRESS:
            c.connecting = True
            self.ep.register(c.fd, select.EPOLLOUT)
        else:
            self.drop(c)
            return errno.errorcode.get(r, str(r))
        return None

    def drop(self, c):
        if c.sock is not None:
            with contextlib.suppress(OSError, ValueError):
                self.ep.unregister(c.fd)
            self.by_fd.pop(c.fd, None)
            c.sock.close()
            c.sock = None

    def fail(self, c, why):
        self.errors[why] = self.errors.get(why, 0) + 1
        if c.busy:
            self.log.append((c.eid, "err:" + why))
        c.busy = False
        self.drop(c)
        self.retry_at.append((time.perf_counter() + 0.05, c))

    def send(self, c, eid, bufs, total, t0):
        c.busy, c.eid, c.t0 = True, eid, t0
        if c.sock is None:
            why = self.open(c)
            if why:
                self.fail(c, why)
                return
            if c.connecting:
                c.bufs = (bufs, total)
                return
        self.push(c, bufs, total)

    def push(self, c, bufs, total):
        try:
            sent = c.sock.sendmsg(bufs)
        except BlockingIOError:
            sent = 0
        except OSError as e:
            self.fail(c, type(e).__name__)
            return
        if sent < total:
            c.pending = memoryview(b"".join(bufs))[sent:]
            self.ep.modify(c.fd, select.EPOLLIN | select.EPOLLOUT)

    def on_write(self, c):
        if c.connecting:
            err = c.sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
            if err:
                self.fail(c, errno.errorcode.get(err, str(err)))
                return
            c.connecting = False
            self.ep.modify(c.fd, select.EPOLLIN)
            bufs, total = c.bufs
            c.bufs = None
            self.push(c, bufs, total)
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
                self.ep.modify(c.fd, select.EPOLLIN)

    def on_read(self, c):
        """True when the response is complete"""
        try:
            data = c.sock.recv(65536)
        except BlockingIOError:
            return False
        except OSError as e:
            self.fail(c, type(e).__name__)
            return False
        if not c.busy:  # the server closed an idle connection
            self.drop(c)
            return False
        if not data:
            if c.need == -2:  # body until close
                return self.done(c, True)
            if c.inbuf or c.pending is not None:
                self.fail(c, "closed-mid-request")
            else:
                self.fail(c, "closed-without-response")
            return False
        buf = c.inbuf = c.inbuf + data if c.inbuf else data
        if c.need < 0 and c.need != -2:
            end = buf.find(b"\r\n\r\n")
            if end < 0:
                return False
            head = buf[:end].lower()
            c.status = int(buf[9:12])
            c.close = b"\r\nconnection: close" in head or buf.startswith(b"HTTP/1.0")
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
            if buf.endswith(b"0\r\n\r\n"):
                return self.done(c, c.close)
            return False
        if c.need >= 0 and len(buf) >= c.need:
            return self.done(c, c.close)
        return False

    def done(self, c, close):
        now = time.perf_counter()
        self.lat.append(now - c.t0)
        s = c.status
        self.statuses[s] = self.statuses.get(s, 0) + 1
        if self.ids_out:
            self.log.append((c.eid, str(s)))
        self.last_ok = now
        c.inbuf, c.need, c.busy = b"", -1, False
        if close:
            self.drop(c)
        return True

    def run(self, source):
        conns = [Conn() for _ in range(self.n)]
        perf = time.perf_counter
        gc.collect()
        gc.freeze()
        gc.disable()
        cpu0 = time.process_time()
        start = self.last_ok = perf()
        stop_at = start + self.seconds if self.seconds else float("inf")
        idle, sent, exhausted = list(conns), 0, False
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
            if now - self.last_ok > self.dead_s:
                self.errors["gave-up"] = 1
                break
            while idle and not exhausted:
                if interval:
                    due = start + sent * interval
                    if due > now:
                        break
                try:
                    eid, bufs, total = next(source)
                except StopIteration:
                    exhausted = True
                    break
                c = idle.pop()
                sent += 1
                self.send(c, eid, bufs, total, due if interval else perf())
            if exhausted and len(idle) + len(self.retry_at) == self.n:
                break
            timeout = 0.2
            if interval and idle and not exhausted:
                timeout = max(0.0, min(0.2, start + sent * interval - perf()))
            if self.retry_at:
                timeout = min(timeout, 0.02)
            for fd, ev in self.ep.poll(timeout):
                c = self.by_fd.get(fd)
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
                            eid, bufs, total = next(source)
                        except StopIteration:
                            exhausted = True
                            idle.append(c)
                            continue
                        sent += 1
                        self.send(c, eid, bufs, total, perf())
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
