#!/usr/bin/env python3
"""Measures a polite client's latency while other clients attack the server.

Starts pinloop, hyper and nginx, one after the other, pinned to one CPU. A polite client and the
attackers run on another CPU. Prints a Markdown table: a row for each attack, a column for each
server, and in each cell the 50th and the 99th percentile of the polite client's latency.

Everything stays on the loopback address and ends after a bounded time.
"""

import argparse
import contextlib
import glob
import multiprocessing
import os
import platform
import resource
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import time

HOST = "127.0.0.1"
GET = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
GET_DATA = b"GET /data HTTP/1.1\r\nHost: a\r\n\r\n"
ECHO = b"POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000000\r\n\r\n"
# A head that the servers accept and that is too large for a few packets of one byte.
LONG_HEAD = b"GET / HTTP/1.1\r\nHost: a\r\n" + b"X: " + b"y" * 2000 + b"\r\n\r\n"
# nginx allows 32 KiB and hyper 100 headers.
MANY_HEADERS = GET[:-2] + b"".join(b"X-%d: y\r\n" % n for n in range(95)) + b"\r\n"

# Pause of the polite client between two requests, in seconds.
PAUSE = 0.001
# Requests of the polite client on one connection, so that it also depends on new connections.
REQUESTS_PER_CONNECTION = 50
# Time after which the polite client gives a request up, in seconds.
TIMEOUT = 2.0
# Time that an attack may take to set up, in seconds.
SETUP_MAX = 20.0


# Attacks. Each one gets the port, and calls `ready` when it is under way.


def connect(port, receive_buffer=None):
    stream = socket.socket()
    stream.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    if receive_buffer:
        stream.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
    stream.settimeout(5)
    stream.connect((HOST, port))
    return stream


def reset(stream):
    """Closes with a reset, which leaves no port in TIME_WAIT."""
    stream.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    stream.close()


class Client:
    """A non-blocking connection that sends `input` again and again."""

    def __init__(self, port, data, piece, reads, receive_buffer=None):
        self.port, self.data, self.piece, self.reads = port, data, piece, reads
        self.receive_buffer = receive_buffer
        self.sent = 0
        self.stream = None

    def step(self):
        """Sends one piece and reads what is there. Returns whether anything moved."""
        try:
            if self.stream is None:
                self.stream = connect(self.port, self.receive_buffer)
                self.stream.setblocking(False)
                self.sent = 0
            moved = self.send()
            return (self.reads and self.receive()) or moved
        except OSError:
            # The server has closed the connection: begin again.
            if self.stream is not None:
                reset(self.stream)
                self.stream = None
            return False

    def send(self):
        try:
            self.sent += self.stream.send(self.data[self.sent : self.sent + self.piece])
        except BlockingIOError:
            return False
        self.sent %= len(self.data)
        return True

    def receive(self):
        try:
            if not self.stream.recv(1 << 18):
                raise ConnectionError("closed")
        except BlockingIOError:
            return False
        return True


def drive(clients, ready, pause=0.0):
    """Gives each client a step, round by round, without an end."""
    for client in clients:
        client.step()
    ready()
    while True:
        moved = [client.step() for client in clients]
        if pause or not any(moved):
            time.sleep(pause or 0.001)


def attack_none(port, ready):
    ready()
    time.sleep(3600)


def attack_idle(port, ready):
    files_max = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    streams = []
    for _ in range(min(10_000, files_max - 200)):
        stream = connect(port)
        stream.sendall(GET)
        stream.recv(4096)
        streams.append(stream)
    ready()
    time.sleep(3600)


def attack_slow_heads(port, ready):
    head = GET[:-2] + b"X: " + b"y" * 4000
    drive([Client(port, head, 1, True) for _ in range(500)], ready, pause=0.02)


def attack_slow_bodies(port, ready):
    clients = [Client(port, ECHO + b"y" * 4000, 1, True) for _ in range(500)]
    for client in clients:
        client.piece = len(ECHO)
        client.step()
        client.piece = 1
    drive(clients, ready, pause=0.02)


def attack_pipelining(port, ready, connections=1):
    batch = GET_DATA * (64 * 1024 // len(GET_DATA))
    drive([Client(port, batch, len(batch), True) for _ in range(connections)], ready)


def attack_16_pipelining(port, ready):
    attack_pipelining(port, ready, connections=16)


def attack_churn(port, ready):
    ready()
    request = GET[:-2] + b"Connection: close\r\n\r\n"
    while True:
        with contextlib.suppress(OSError):
            stream = connect(port)
            stream.sendall(request)
            while stream.recv(4096):
                pass
            stream.close()


def attack_unread_echo(port, ready):
    data = ECHO + b"y" * (1 << 20)
    drive([Client(port, data, 1 << 16, False) for _ in range(100)], ready)


def attack_half_closed(port, ready):
    streams = []
    ready()
    while True:
        with contextlib.suppress(OSError):
            stream = connect(port)
            stream.sendall(GET_DATA + GET_DATA[:20])
            stream.shutdown(socket.SHUT_WR)
            streams.append(stream)
        if len(streams) == 1000:
            for stream in streams[:500]:
                reset(stream)
            del streams[:500]


def attack_bytewise_heads(port, ready):
    drive([Client(port, LONG_HEAD, 1, True) for _ in range(64)], ready)


def attack_resets(port, ready):
    ready()
    while True:
        with contextlib.suppress(OSError):
            stream = connect(port)
            stream.sendall(GET_DATA * 10)
            reset(stream)


def attack_zero_windows(port, ready):
    batch = GET_DATA * 500
    clients = [Client(port, batch, len(batch), False, receive_buffer=2048) for _ in range(200)]
    drive(clients, ready)


def attack_many_headers(port, ready):
    drive([Client(port, MANY_HEADERS, len(MANY_HEADERS), True) for _ in range(16)], ready)


ATTACKS = {
    "none": attack_none,
    "10,000 idle connections": attack_idle,
    "500 slow heads": attack_slow_heads,
    "500 slow bodies": attack_slow_bodies,
    "1 connection pipelines GET /data": attack_pipelining,
    "16 connections pipeline GET /data": attack_16_pipelining,
    "connection churn": attack_churn,
    "100 large echoes, unread": attack_unread_echo,
    "half-closed connections": attack_half_closed,
    "64 heads byte by byte": attack_bytewise_heads,
    "resets": attack_resets,
    "200 zero windows": attack_zero_windows,
    "16 connections with 96 headers": attack_many_headers,
}


def run_attack(attack, port, core, is_ready):
    """Runs an attack in a process of its own until it is killed."""
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    os.sched_setaffinity(0, {core})
    os.nice(10)
    attack(port, is_ready.set)


# The polite client.


def read_response(stream):
    data = b""
    while b"\r\n\r\n" not in data:
        piece = stream.recv(65536)
        if not piece:
            raise ConnectionError("closed")
        data += piece
    head, body = data.split(b"\r\n\r\n", 1)
    if not head.startswith(b"HTTP/1.1 200 "):
        raise ConnectionError(head[:12].decode())
    lines = [line.split(b": ") for line in head.lower().split(b"\r\n")]
    length = next(int(line[1]) for line in lines if line[0] == b"content-length")
    while len(body) < length:
        piece = stream.recv(65536)
        if not piece:
            raise ConnectionError("closed")
        body += piece


def be_polite(port, requests, seconds):
    """Returns the latencies in seconds, and the number of requests that failed."""
    latencies, failed, stream = [], 0, None
    end = time.monotonic() + seconds
    for n in range(requests):
        begun = time.perf_counter()
        try:
            if n % REQUESTS_PER_CONNECTION == 0 and stream is not None:
                stream.close()
                stream = None
            if stream is None:
                stream = connect(port)
                stream.settimeout(TIMEOUT)
            stream.sendall(GET)
            read_response(stream)
        except OSError:
            failed += 1
            if stream is not None:
                stream.close()
            stream = None
        latencies.append(time.perf_counter() - begun)
        if time.monotonic() > end:
            break
        time.sleep(PAUSE)
    if stream is not None:
        stream.close()
    return latencies, failed


def percentile(values, share):
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))]


# Servers.


def spawn(command, arguments):
    pin = ["taskset", "-c", str(arguments.server_core)]
    return subprocess.Popen(pin + command, stdout=subprocess.PIPE)


def start_pinloop(arguments, folder):
    command = [arguments.pinloop, "--threads", "1", "--cores", str(arguments.server_core)]
    server = spawn(command + ["--addr", f"{HOST}:0"], arguments)
    line = server.stdout.readline().decode()
    return server, int(line.split("http://")[1].split()[0].rsplit(":", 1)[1])


def start_hyper(arguments, folder):
    command = [arguments.hyper, "serve", "hyper_per_core", "--cores", str(arguments.server_core)]
    server = spawn(command, arguments)
    line = server.stdout.readline().decode()
    return server, int(line.strip().rsplit(":", 1)[1])


def start_nginx(arguments, folder):
    with socket.socket() as free:
        free.bind((HOST, 0))
        port = free.getsockname()[1]
    paths = "".join(
        f"{name}_temp_path {folder}/{name};\n"
        for name in ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
    )
    config = f"{folder}/nginx.conf"
    with open(config, "w", encoding="utf-8") as file:
        file.write(
            f"daemon off; master_process off; worker_processes 1; pid {folder}/pid;\n"
            f"error_log {folder}/error.log; events {{ worker_connections 19000; }}\n"
            f"http {{ access_log off; keepalive_requests 1000000000; default_type text/plain;\n"
            f"{paths} server {{ listen {HOST}:{port} backlog=4096;\n"
            f"location / {{ return 200 'Try POST /echo'; }} }} }}\n"
        )
    server = spawn([arguments.nginx, "-p", folder, "-c", config], arguments)
    for _ in range(100):
        with contextlib.suppress(OSError):
            connect(port).close()
            break
        time.sleep(0.05)
    return server, port


SERVERS = {"pinloop": start_pinloop, "hyper": start_hyper, "nginx": start_nginx}


def measure(start, attack, arguments):
    """Returns one cell of the table."""
    with tempfile.TemporaryDirectory() as folder:
        server, port = start(arguments, folder)
        is_ready = multiprocessing.Event()
        attacker = multiprocessing.Process(
            target=run_attack, args=(attack, port, arguments.client_core, is_ready)
        )
        try:
            attacker.start()
            if not is_ready.wait(SETUP_MAX):
                return "not set up"
            # The attack runs for a moment before it counts.
            time.sleep(0.3)
            latencies, failed = be_polite(port, arguments.requests, arguments.seconds)
        finally:
            attacker.kill()
            attacker.join()
            server.kill()
            server.wait()
    cell = f"{percentile(latencies, 0.5) * 1000:.2f} / {percentile(latencies, 0.99) * 1000:.2f}"
    if failed:
        cell += f" ({failed} of {len(latencies)} failed)"
    elif len(latencies) < arguments.requests:
        cell += f" ({len(latencies)} requests)"
    return cell


def describe_machine(arguments):
    model = "unknown CPU"
    with open("/proc/cpuinfo", encoding="utf-8") as file:
        for line in file:
            if line.startswith("model name"):
                model = line.split(":", 1)[1].strip()
                break
    version = subprocess.run([arguments.nginx, "-v"], capture_output=True, text=True).stderr
    return (
        f"{model}, {os.cpu_count()} CPUs, Linux {platform.release()}, "
        f"{version.strip().rsplit(' ', 1)[-1]}, Python {platform.python_version()}"
    )


def newest(pattern):
    found = [path for path in glob.glob(pattern) if os.access(path, os.X_OK)]
    return max(found, key=os.path.getmtime, default=None)


def parse():
    target = os.path.join(os.path.dirname(__file__), "../../target/release")
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n", maxsplit=1)[0])
    parser.add_argument("--pinloop", default=newest(f"{target}/pinloop"), help="pinloop's binary")
    parser.add_argument(
        "--hyper",
        default=newest(f"{target}/deps/compare-*[!.d]"),
        help="program of `cargo bench`, which serves hyper with `serve hyper_per_core`",
    )
    parser.add_argument("--nginx", default=shutil.which("nginx") or "/usr/sbin/nginx")
    parser.add_argument("--server-core", type=int, default=0, help="CPU of the servers")
    parser.add_argument("--client-core", type=int, default=1, help="CPU of all clients")
    parser.add_argument("--requests", type=int, default=1000, help="polite requests for each cell")
    parser.add_argument("--seconds", type=float, default=4, help="longest time for these requests")
    parser.add_argument(
        "--attack", action="append", choices=list(ATTACKS), metavar="NAME",
        help="only this attack; the names are the first column of the table",
    )
    parser.add_argument("--server", action="append", choices=list(SERVERS), help="only this server")
    parser.add_argument("--end", type=float, default=250, help="start no cell after these seconds")
    return parser.parse_args()


def main():
    arguments = parse()
    os.sched_setaffinity(0, {arguments.client_core})
    # The polite client must not wait for the attackers on its own CPU.
    with contextlib.suppress(PermissionError):
        os.sched_setscheduler(
            0, os.SCHED_FIFO | os.SCHED_RESET_ON_FORK, os.sched_param(1)
        )
    servers = arguments.server or [
        name for name in SERVERS if (path := getattr(arguments, name)) and os.path.exists(path)
    ]
    print(f"{describe_machine(arguments)}. Latency of the polite client in ms: p50 / p99.\n")
    print("| attack | " + " | ".join(servers) + " |")
    print("| --- |" + " --- |" * len(servers), flush=True)
    end = time.monotonic() + arguments.end
    for name in arguments.attack or ATTACKS:
        cells = []
        for server in servers:
            is_late = time.monotonic() > end
            cells.append(
                "–" if is_late else measure(SERVERS[server], ATTACKS[name], arguments)
            )
        print(f"| {name} | " + " | ".join(cells) + " |", flush=True)


if __name__ == "__main__":
    sys.exit(main())
