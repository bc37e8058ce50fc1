#!/usr/bin/env python3
"""Counts the requests and the connections that restarts under load lose.

Restarts pinloop, nginx and HAProxy while clients send requests without an end. Prints a Markdown
table: a row for each server, a column for each kind of client. A cell has the failed requests, the
refused connections, the number of requests, and the longest time from the wish to send a request
to its response.

A request has failed if it was sent, at least in part, and got no complete response with status
200. No client sends a request twice. A client that finds its idle connection closed before it sends
opens a new one, which is not a failure. A connection is refused if connect fails; the client tries
again after 10 ms.

Everything stays on the loopback address and ends after a bounded time.
"""

import argparse
import multiprocessing
import os
import platform
import shutil
import sys
import time

from clients import KINDS, Crowd
from servers import SERVERS


def run_clients(kind, port, is_ended, results):
    """Runs in a process of its own, so that the clients never wait for a restart."""
    results.send(Crowd(kind, port).run(is_ended.is_set))


def measure(server_type, kind, arguments):
    """Restarts a server under load. Returns the counts of the clients."""
    is_ended = multiprocessing.Event()
    results, sender = multiprocessing.Pipe(duplex=False)
    with server_type(arguments) as server:
        clients = multiprocessing.Process(
            target=run_clients, args=(kind, server.port, is_ended, sender), daemon=True
        )
        clients.start()
        due = time.monotonic()
        for _ in range(arguments.restarts):
            due = max(due + arguments.interval, time.monotonic())
            time.sleep(max(0.0, due - time.monotonic()))
            server.restart()
        time.sleep(arguments.interval)
        is_ended.set()
        counts = results.recv()
        clients.join()
    return counts


def cell(counts):
    return (
        f"{counts.failed} failed, {counts.refused} refused of {counts.requests:,}; "
        f"{counts.longest * 1000:.0f} ms"
    )


def describe(arguments):
    with open("/proc/cpuinfo", encoding="utf-8") as file:
        models = [line.split(":", 1)[1].strip() for line in file if line.startswith("model name")]
    return (
        f"{arguments.restarts} restarts for each cell, one every {arguments.interval:g} s. "
        f"{models[0] if models else 'unknown CPU'}, {os.cpu_count()} CPUs, "
        f"Linux {platform.release()}, Python {platform.python_version()}."
    )


def parse():
    target = os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../target/release")
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--pinloop", default=f"{target}/pinloop", help="pinloop's binary")
    parser.add_argument("--nginx", default=shutil.which("nginx") or "/usr/sbin/nginx")
    parser.add_argument("--haproxy", default=shutil.which("haproxy") or "/usr/sbin/haproxy")
    parser.add_argument("--restarts", type=int, default=20, help="restarts for each cell")
    parser.add_argument(
        "--interval", type=float, default=1.0, help="seconds from one restart to the next"
    )
    parser.add_argument(
        "--server", action="append",
        help="only servers whose name contains this text; can be given several times",
    )
    parser.add_argument("--clients", help="only kinds of clients whose name contains this text")
    parser.add_argument(
        "--strict", action="store_true",
        help="exit with 1 if pinloop with activation or takeover loses anything, or cannot run",
    )
    return parser.parse_args()


def is_available(server, arguments):
    path = getattr(arguments, server.program)
    if os.access(path, os.X_OK):
        return True
    print(f"{server.name} is left out: {path} is not a program", file=sys.stderr)
    return False


def main():
    arguments = parse()
    kinds = {name: kind for name, kind in KINDS.items() if (arguments.clients or "") in name}
    texts = arguments.server or [""]
    servers = [each for each in SERVERS if any(text in each.name for text in texts)]
    servers = [each for each in servers if is_available(each, arguments)]
    if arguments.strict and not any(each.loses_nothing for each in servers):
        print("--strict has no server to check", file=sys.stderr)
        return 1
    print(describe(arguments) + "\n")
    print("| server | " + " | ".join(kinds) + " |")
    print("| --- |" + " --- |" * len(kinds), flush=True)
    lost = 0
    for server in servers:
        cells = []
        for name, kind in kinds.items():
            counts = measure(server, kind, arguments)
            cells.append(cell(counts))
            if counts.reasons:
                print(f"{server.name}, {name}: {dict(counts.reasons)}", file=sys.stderr)
            if server.loses_nothing:
                lost += counts.failed + counts.refused
        print(f"| {server.name} | " + " | ".join(cells) + " |", flush=True)
    return 1 if arguments.strict and lost else 0


if __name__ == "__main__":
    sys.exit(main())
