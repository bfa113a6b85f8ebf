#!/usr/bin/env python3
"""Streams gigabytes through the proxy, each way, and watches its memory.

    cargo build --release
    tests/load/stream.py [--binary target/release/maskinporten-proxy] [--gigabytes 10]

Starts a sandbox, an upstream and the proxy on free ports of loopback. Then, one after the other: a
download under a reader that pauses, an upload to an upstream that pauses, and both at full speed
(`--mode` picks some). The side that waits stops for a second at every gigabyte; the other side
always goes as fast as it may, so whatever the proxy held would pile up. Each body is counted to
its last byte.

It fails where a byte is missing, or where the proxy's resident memory ever grows by more than
`--most` MiB over what it was before. Linux only: memory is read from /proc.
"""

import argparse
import pathlib
import re
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time

PIECE = bytes(1 << 20)
GIGABYTE = 10**9


class Upstream:
    """Answers GET /<bytes> with so many, and reads what a PUT sends; pauses where asked to."""

    def __init__(self):
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            connection, _ = self.listener.accept()
            threading.Thread(target=self.serve, args=(connection,), daemon=True).start()

    def serve(self, connection):
        with connection:
            head = b""
            while b"\r\n\r\n" not in head:
                here = connection.recv(65536)
                if not here:
                    return
                head += here
            head, rest = head.split(b"\r\n\r\n", 1)
            method, target = head.split(b" ")[:2]
            pauses = target.endswith(b"?pauses")
            if method == b"GET":
                length = int(re.search(rb"/(\d+)", target)[1])
                connection.sendall(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: %d\r\n\r\n" % length)
                send(connection, length)
            else:
                length = int(re.search(rb"(?i)\r\ncontent-length: *(\d+)", head)[1])
                read(connection, length - len(rest), pauses)
                connection.sendall(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 4\r\n\r\nread")


def send(connection, length):
    while length > 0:
        connection.sendall(PIECE if length >= len(PIECE) else PIECE[:length])
        length -= len(PIECE)


def read(connection, length, pauses):
    space = bytearray(1 << 20)
    left, since_pause = length, GIGABYTE
    while left > 0:
        count = connection.recv_into(space, min(left, len(space)))
        if count == 0:
            raise SystemExit(f"the body ended {left} bytes early")
        left -= count
        since_pause += count
        if pauses and since_pause >= GIGABYTE:
            since_pause = 0
            time.sleep(1)


def download(port, length, pauses):
    with socket.create_connection(("127.0.0.1", port)) as connection:
        connection.sendall(b"GET /%d HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n" % length)
        head = b""
        while b"\r\n\r\n" not in head:
            head += connection.recv(1024)
        head, rest = head.split(b"\r\n\r\n", 1)
        assert head.startswith(b"HTTP/1.1 200"), head
        read(connection, length - len(rest), pauses)


def upload(port, length, pauses):
    with socket.create_connection(("127.0.0.1", port)) as connection:
        query = b"?pauses" if pauses else b""
        connection.sendall(
            b"PUT /%s HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: %d\r\n\r\n" % (query, length)
        )
        send(connection, length)
        answer = b""
        while here := connection.recv(4096):
            answer += here
        assert answer.startswith(b"HTTP/1.1 200") and answer.endswith(b"read"), answer


def resident(pid):
    """Resident memory in MiB."""
    status = pathlib.Path(f"/proc/{pid}/status").read_text()
    return int(re.search(r"VmRSS:\s+(\d+) kB", status)[1]) / 1024


class Watch:
    """Keeps the most that a process's memory comes to."""

    def __init__(self, pid):
        self.pid, self.most, self.over = pid, 0.0, False
        self.thread = threading.Thread(target=self.run)

    def run(self):
        while not self.over:
            self.most = max(self.most, resident(self.pid))
            time.sleep(0.05)

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.over = True
        self.thread.join()


def start(command, wanted):
    """Starts a process and waits for a line; gives it and what `wanted` matched."""
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    for line in process.stdout:
        if found := re.search(wanted, line):
            threading.Thread(target=lambda: [None for _ in process.stdout], daemon=True).start()
            return process, found
    raise SystemExit(f"{command[0]} ended: {process.wait()}")


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--binary", default="target/release/maskinporten-proxy")
    parser.add_argument("--gigabytes", type=float, default=10)
    parser.add_argument("--most", type=float, default=32, help="MiB that memory may grow by")
    parser.add_argument("--mode", action="append", choices=["download", "upload", "both"])
    options = parser.parse_args()
    length = int(options.gigabytes * GIGABYTE)
    upstream = Upstream()
    processes = []
    with tempfile.TemporaryDirectory() as folder:
        try:
            sandbox, _ = start(
                [options.binary, "sandbox", "--listen", "127.0.0.1:0", "--out", f"{folder}/out"], r"serve --config"
            )
            processes.append(sandbox)
            config = pathlib.Path(f"{folder}/out/proxy.toml")
            text = re.sub(r"127\.0\.0\.1:808\d", "127.0.0.1:0", config.read_text())
            text += f'\n[[routes]]\nname = "load"\npath = "/"\nupstream = "http://127.0.0.1:{upstream.port}"\nscopes = ["demo:api"]\n'
            config.write_text(text)
            proxy, found = start(
                [options.binary, "--log-format", "json", "--config", str(config)], r'"proxy":"http://127\.0\.0\.1:(\d+)'
            )
            processes.append(proxy)
            port = int(found[1])
            # Warm: a token is held, and every thread has served.
            for _ in range(8):
                download(port, 1 << 20, False)
                upload(port, 1 << 20, False)
            before = resident(proxy.pid)
            print(f"before: {before:.1f} MiB resident")
            failed = False
            for mode in options.mode or ["download", "upload", "both"]:
                jobs = {
                    "download": [(download, True)],
                    "upload": [(upload, True)],
                    "both": [(download, False), (upload, False)],
                }[mode]
                errors, began = [], time.monotonic()

                def run(job, pauses):
                    try:
                        job(port, length, pauses)
                    except BaseException as error:  # noqa: BLE001, a thread's SystemExit included
                        errors.append(error)

                with Watch(proxy.pid) as watch:
                    threads = [threading.Thread(target=run, args=job) for job in jobs]
                    for thread in threads:
                        thread.start()
                    for thread in threads:
                        thread.join()
                took = time.monotonic() - began
                growth = watch.most - before
                failed |= bool(errors) or growth > options.most
                print(
                    f"{mode}: {options.gigabytes:g} GB in {took:.1f} s,"
                    f" at most {watch.most:.1f} MiB resident ({growth:+.1f})"
                    + "".join(f", {error!r}" for error in errors)
                )
            print(f"after: {resident(proxy.pid):.1f} MiB resident")
            sys.exit(1 if failed else 0)
        finally:
            for process in processes:
                process.send_signal(signal.SIGTERM)
                process.wait()


if __name__ == "__main__":
    main()
