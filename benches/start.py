#!/usr/bin/env python3
"""How long the proxy takes to be of use: from the start of the process to the first proxied answer,
a token from a token endpoint on this machine included, and to `/readyz` answering 200.

    apt-get install openssl
    cargo build --release
    python3 benches/start.py [--starts 30] [--binary target/release/maskinporten-proxy] [--json]

The token endpoint and the upstream are threads of this script, so a start shares the machine with
them, as it does with whatever else runs; the best of the starts tells what the proxy itself takes,
the median what one sees. Nothing outside the loopback interface is asked for.
"""
import argparse
import http.server
import json
import os
import pathlib
import signal
import socket
import statistics
import subprocess
import tempfile
import threading
import time

HERE = pathlib.Path(__file__).resolve().parent
TOKEN = "eyJ" + "A" * 1100
LIMIT = 10.0  # seconds after which a start has failed

CONFIG = """listen = "127.0.0.1:@PORT@"
admin = "127.0.0.1:@ADMIN@"

[clients.start]
issuer = "http://127.0.0.1:@SERVER@/"
token_endpoint = "http://127.0.0.1:@SERVER@/token"
client_id = "start"
key = { file = "key.pem", kid = "start" }

[[routes]]
name = "start"
path = "/"
upstream = "http://127.0.0.1:@SERVER@"
scopes = ["start:read"]
"""


class Peer(http.server.BaseHTTPRequestHandler):
    """The token endpoint (POST) and the upstream (GET)."""

    protocol_version = "HTTP/1.1"

    def do_POST(self):
        self.rfile.read(int(self.headers["content-length"]))
        self.answer(200, json.dumps({"access_token": TOKEN, "token_type": "Bearer", "expires_in": 7199, "scope": "start:read"}))

    def do_GET(self):
        authorized = self.headers["authorization"] == f"Bearer {TOKEN}"
        self.answer(200 if authorized else 401, "{}")

    def answer(self, status, text):
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(text)))
        self.end_headers()
        self.wfile.write(text.encode())

    def log_message(self, *_):
        pass


class Server(http.server.ThreadingHTTPServer):
    def handle_error(self, *_):
        """A proxy that ends leaves its connections; that is no news."""


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def status(port, path):
    """The status of a GET; None while nobody listens."""
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=LIMIT) as connection:
            connection.sendall(f"GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode())
            return int(connection.recv(4096).split(b" ", 2)[1])
    except (OSError, IndexError):
        return None


def until_200(port, path, began):
    while time.perf_counter() - began < LIMIT:
        if status(port, path) == 200:
            return 1e3 * (time.perf_counter() - began)
        time.sleep(0.0002)
    raise SystemExit(f"no 200 for {path} within {LIMIT:.0f} s")


def start(binary, folder, server, path, admin):
    port, admin_port = free_port(), free_port()
    text = CONFIG
    for name, value in {"PORT": port, "ADMIN": admin_port, "SERVER": server}.items():
        text = text.replace(f"@{name}@", str(value))
    (folder / "proxy.toml").write_text(text)
    with open(folder / "log", "w") as log:
        began = time.perf_counter()
        process = subprocess.Popen([binary, "serve", "--config", folder / "proxy.toml"], stdout=log, stderr=log, cwd=folder,
                                   env={**os.environ, "RUST_LOG": "warn"})
    try:
        return until_200(admin_port if admin else port, path, began)
    except SystemExit as error:
        raise SystemExit(f"{error}; the proxy's log: {(folder / 'log').read_text()}")
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(10)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--binary", default=HERE.parent / "target/release/maskinporten-proxy", type=lambda path: pathlib.Path(path).resolve())
    parser.add_argument("--starts", type=int, default=30)
    parser.add_argument("--json", action="store_true", help="one line of JSON besides")
    options = parser.parse_args()
    server = Server(("127.0.0.1", 0), Peer)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    result = {}
    with tempfile.TemporaryDirectory(prefix="start-") as folder:
        folder = pathlib.Path(folder)
        subprocess.run(["openssl", "genpkey", "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048", "-out", folder / "key.pem"], check=True, capture_output=True)
        for name, path, admin in (("first proxied answer", "/things", False), ("readyz", "/readyz", True)):
            took = sorted(start(options.binary, folder, server.server_port, path, admin) for _ in range(options.starts))
            result[name] = {"best": took[0], "median": statistics.median(took), "worst": took[-1]}
            print(f"{name:21} " + "  ".join(f"{key} {value:.1f} ms" for key, value in result[name].items()), flush=True)
    if options.json:
        print(json.dumps(result))


if __name__ == "__main__":
    main()
