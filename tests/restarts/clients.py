"""Clients that send requests without an end, and count what becomes of them.

All clients of a kind share one process and one epoll. They behave as HTTP libraries do: a client
opens a new connection if the server has closed the idle one, or has announced the close. They
never send a request twice.
"""

import collections
import dataclasses
import heapq
import os
import random
import select
import socket
import time

REQUEST = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
LAST_REQUEST = b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
# Time after which a client gives a request up, in seconds.
TIMEOUT = 10.0
# Interval of looking for requests that have taken too long, in seconds.
SWEEP = 0.5
# Pause of a client whose connection was refused, in seconds.
REFUSED_PAUSE = 0.01


@dataclasses.dataclass
class Kind:
    """One kind of client."""

    count: int
    keeps_connection: bool
    # Longest pause between two requests, in seconds. The pauses are spread evenly.
    pause_max: float = 0.0


KINDS = {
    "64 keep-alive clients without a pause": Kind(64, True),
    "200 keep-alive clients that pause up to 1 s": Kind(200, True, 1.0),
    "16 clients with a connection for each request": Kind(16, False),
}


@dataclasses.dataclass
class Counts:
    """Results of all clients of a kind."""

    # Requests that were sent.
    requests: int = 0
    # Requests that were sent, at least in part, and got no complete response with status 200.
    failed: int = 0
    # Connections that could not be opened.
    refused: int = 0
    # Idle connections that the server closed. They lose nothing.
    closed_idle: int = 0
    # Longest time from the wish to send a request to its response, in seconds.
    longest: float = 0.0
    reasons: collections.Counter = dataclasses.field(default_factory=collections.Counter)


class Client:
    """One client with at most one connection."""

    def __init__(self, crowd):
        self.crowd = crowd
        self.stream = None
        # "idle", "connecting" or "waiting" for a response.
        self.state = "idle"
        self.received = b""
        # Time of the wish to send the request.
        self.begun = None

    def act(self):
        """Sends the next request, on a new connection if necessary."""
        self.begun = self.begun or time.monotonic()
        if self.stream is not None and self.is_closed():
            self.crowd.counts.closed_idle += 1
            self.close()
        if self.stream is None:
            self.connect()
        else:
            self.send()

    def is_closed(self):
        """Reports whether the server has closed the idle connection, as libraries check it."""
        try:
            return not self.stream.recv(1, socket.MSG_PEEK)
        except BlockingIOError:
            return False
        except OSError:
            return True

    def connect(self):
        self.state = "connecting"
        self.stream = socket.socket()
        self.stream.setblocking(False)
        self.stream.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.stream.connect_ex(self.crowd.address)
        self.crowd.watch(self, select.EPOLLOUT)

    def send(self):
        keeps = self.crowd.kind.keeps_connection
        self.state, self.received = "waiting", b""
        self.crowd.counts.requests += 1
        try:
            self.stream.send(REQUEST if keeps else LAST_REQUEST)
        except OSError as error:
            self.fail(f"send: {error.strerror}")

    def on_event(self):
        if self.state == "connecting":
            self.on_connected()
        elif self.state == "waiting":
            self.on_input()
        elif self.is_closed():
            self.crowd.counts.closed_idle += 1
            self.close()

    def on_connected(self):
        error = self.stream.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if error:
            return self.refuse(os.strerror(error))
        self.crowd.watch(self, select.EPOLLIN)
        self.send()

    def on_input(self):
        try:
            piece = self.stream.recv(65536)
        except BlockingIOError:
            return
        except OSError as error:
            return self.fail(f"receive: {error.strerror}")
        if not piece:
            return self.fail("the connection ended before the response")
        self.received += piece
        head, end, body = self.received.partition(b"\r\n\r\n")
        if not end:
            return
        head = head.lower()
        if not head.startswith(b"http/1.1 200 "):
            return self.fail(f"status {head[9:12].decode()}")
        length = int(head.partition(b"content-length:")[2].split(b"\r\n")[0])
        if len(body) >= length:
            self.finish(b"connection: close" not in head)

    def finish(self, may_keep):
        counts = self.crowd.counts
        counts.longest = max(counts.longest, time.monotonic() - self.begun)
        self.state, self.begun = "idle", None
        if not (may_keep and self.crowd.kind.keeps_connection):
            self.close()
        self.crowd.schedule(self)

    def refuse(self, reason):
        self.crowd.counts.refused += 1
        self.crowd.counts.reasons[f"connect: {reason}"] += 1
        self.close()
        self.crowd.schedule(self, REFUSED_PAUSE)

    def fail(self, reason):
        self.crowd.counts.failed += 1
        self.crowd.counts.reasons[reason] += 1
        self.begun = None
        self.close()
        self.crowd.schedule(self)

    def close(self):
        # Closing the socket takes it out of epoll.
        del self.crowd.clients[self.stream.fileno()]
        self.stream.close()
        self.stream, self.state = None, "idle"

    def check_time(self, now):
        if self.state == "idle" or now - self.begun < TIMEOUT:
            return
        if self.state == "connecting":
            self.refuse("timed out")
        else:
            self.fail("timed out")


class Crowd:
    """All clients of a kind."""

    def __init__(self, kind, port):
        self.kind = kind
        self.address = ("127.0.0.1", port)
        self.counts = Counts()
        self.epoll = select.epoll()
        # Clients with a connection, by its descriptor.
        self.clients = {}
        # Times at which clients send their next request.
        self.due = []
        self.is_ending = False
        self.all = [Client(self) for _ in range(kind.count)]

    def watch(self, client, events):
        fd = client.stream.fileno()
        if fd in self.clients:
            self.epoll.modify(fd, events)
        else:
            self.clients[fd] = client
            self.epoll.register(fd, events)

    def schedule(self, client, pause=None):
        if self.is_ending:
            return
        if pause is None:
            pause = random.uniform(0.0, self.kind.pause_max)
        heapq.heappush(self.due, (time.monotonic() + pause, id(client), client))

    def run(self, is_ended):
        """Runs until `is_ended`, and until each request has its response. Returns the counts."""
        random.seed(1)
        for client in self.all:
            self.schedule(client)
        swept = time.monotonic()
        while not self.is_ending or any(each.state != "idle" for each in self.all):
            self.turn()
            now = time.monotonic()
            if now - swept >= SWEEP:
                swept = now
                for client in self.all:
                    client.check_time(now)
            if is_ended() and not self.is_ending:
                self.is_ending = True
                self.due.clear()
        return self.counts

    def turn(self):
        now = time.monotonic()
        wait = min(max(0.0, self.due[0][0] - now), 0.1) if self.due else 0.1
        for fd, _ in self.epoll.poll(wait):
            client = self.clients.get(fd)
            if client is not None:
                client.on_event()
        now = time.monotonic()
        while self.due and self.due[0][0] <= now:
            heapq.heappop(self.due)[2].act()
