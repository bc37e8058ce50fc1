"""Servers that can be restarted: how each is started, restarted and stopped.

Each server has two threads or worker processes and answers `GET /`.
"""

import contextlib
import os
import signal
import socket
import subprocess
import tempfile
import time

HOST = "127.0.0.1"
# Longest time for a start or the end of a process, in seconds.
WAIT = 20.0


def free_port():
    with socket.socket() as free:
        free.bind((HOST, 0))
        return free.getsockname()[1]


def wait_until_served(port):
    end = time.monotonic() + WAIT
    while time.monotonic() < end:
        with contextlib.suppress(OSError), socket.create_connection((HOST, port)):
            return
        time.sleep(0.01)
    raise TimeoutError(f"nothing listens on port {port}")


class Server:
    """A server on a port, with a folder for its files."""

    # Name of the program, which is also the option that has its path.
    program = "pinloop"
    # The promise of the server. `--strict` checks it.
    loses_nothing = False

    def __init__(self, programs):
        self.programs = programs
        self.port = free_port()
        self.folder = tempfile.TemporaryDirectory(prefix="restarts-")
        self.processes = []

    def __enter__(self):
        try:
            self.start()
            wait_until_served(self.port)
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        for process in self.processes:
            process.terminate()
        for process in self.processes:
            try:
                process.wait(WAIT)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        self.folder.cleanup()

    def path(self, name):
        return os.path.join(self.folder.name, name)

    def write(self, name, text):
        with open(self.path(name), "w", encoding="utf-8") as file:
            file.write(text)
        return self.path(name)

    def spawn(self, command, **more):
        process = subprocess.Popen(command, **more)
        self.processes.append(process)
        return process

    def spawn_pinloop(self, *options, **more):
        """Starts pinloop, and waits for its start line."""
        command = [self.programs.pinloop, "--threads", "2", "--no-pin", *options]
        process = self.spawn(command, stdout=subprocess.PIPE, **more)
        line = process.stdout.readline()
        if not line.startswith(b"pinloop listening"):
            raise RuntimeError("pinloop did not start")
        return process

    def end_pinloop(self):
        process = self.processes.pop()
        process.terminate()
        process.wait(WAIT)
        process.stdout.close()


class Plain(Server):
    """pinloop with default options: stop it, then start it."""

    name = "pinloop, stopped and started"

    def start(self):
        self.spawn_pinloop("--addr", f"{HOST}:{self.port}")

    def restart(self):
        self.end_pinloop()
        self.start()


class Activation(Server):
    """pinloop with a socket that it inherits, as from systemd: stop it, then start it."""

    name = "pinloop, socket activation"
    loses_nothing = True

    def __init__(self, programs):
        super().__init__(programs)
        self.listener = socket.socket()
        self.listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.listener.bind((HOST, self.port))
        self.listener.listen(1024)

    def start(self):
        def pass_socket():
            os.environ["LISTEN_PID"] = str(os.getpid())
            os.environ["LISTEN_FDS"] = "1"
            # 3 is the first descriptor of socket activation.
            if self.listener.fileno() == 3:
                os.set_inheritable(3, True)
            else:
                os.dup2(self.listener.fileno(), 3)

        # Python opens all other descriptors in such a way that a new program does not get them.
        self.spawn_pinloop("--drain-grace", "2", close_fds=False, preexec_fn=pass_socket)

    def restart(self):
        self.end_pinloop()
        self.start()

    def __exit__(self, *error):
        super().__exit__(*error)
        self.listener.close()


class Takeover(Server):
    """pinloop whose successor takes the sockets over."""

    name = "pinloop --takeover"
    loses_nothing = True

    def start(self):
        takeover = ["--takeover", self.path("takeover"), "--drain-grace", "2"]
        self.spawn_pinloop("--addr", f"{HOST}:{self.port}", *takeover)

    restart = start


class Nginx(Server):
    """nginx with `nginx -s reload`."""

    name = "nginx -s reload"
    program = "nginx"

    def start(self):
        folder = self.folder.name
        paths = "".join(
            f"{name}_temp_path {folder}/{name};\n"
            for name in ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
        )
        self.config = self.write(
            "nginx.conf",
            f"daemon off; worker_processes 2; pid {folder}/pid; error_log {folder}/error.log;\n"
            "events { worker_connections 10000; }\n"
            f"http {{ access_log off; keepalive_requests 1000000000; default_type text/plain;\n"
            f"{paths} server {{ listen {HOST}:{self.port} backlog=1024;\n"
            "location / { return 200 'Try POST /echo'; } } }\n",
        )
        self.spawn([self.programs.nginx, "-e", self.path("error.log"), "-c", self.config])

    def restart(self):
        log = ["-e", self.path("error.log")]
        subprocess.run(
            [self.programs.nginx, *log, "-c", self.config, "-s", "reload"], check=True
        )


class Haproxy(Server):
    """HAProxy in master-worker mode with SIGUSR2. Its new worker gets the listening sockets."""

    name = "HAProxy, SIGUSR2"
    program = "haproxy"
    option = ""

    def start(self):
        config = self.write(
            "haproxy.cfg",
            f"global\n nbthread 2\n stats socket {self.path('stats')} expose-fd listeners\n"
            "defaults\n mode http\n timeout connect 5s\n timeout client 75s\n timeout server 75s\n"
            f"frontend test\n bind {HOST}:{self.port} backlog 1024\n {self.option}\n"
            " http-request return status 200 content-type text/plain string 'Try POST /echo'\n",
        )
        command = [self.programs.haproxy, "-W", "-f", config]
        with open(self.path("output"), "wb") as output:
            self.spawn(command, stdout=output, stderr=output)

    def restart(self):
        self.processes[0].send_signal(signal.SIGUSR2)


class HaproxyPatient(Haproxy):
    """The same with the option that spares idle connections."""

    name = "HAProxy, SIGUSR2, idle-close-on-response"
    option = "option idle-close-on-response"


SERVERS = [Activation, Takeover, Plain, Nginx, Haproxy, HaproxyPatient]
