#!/usr/bin/env python3
"""Half an hour under load while everything around the proxy fails: does it fail too, or grow?

    tests/load/soak.py --binary target/release/maskinporten-proxy [--minutes 30] [--rate 50]

All at once, on loopback: steady requests of several kinds; a token endpoint that is down for 35 s
of each minute, in six ways; an API that closes idle connections, resets others ahead of their
answer, and breaks answers off; slow senders, slow readers and clients that go away; a reload every
15 s, by SIGHUP or by a changed, half-written, broken or missing file.

The result is good where
  - no request failed that could have been served. What could not: an answer that the API broke off
    (then the client must see it broken), and a POST that met a connection in the moment in which
    the API closed it (it may not be sent twice);
  - no POST reached the API twice, and no token past its end reached it;
  - resident memory in the last fifth is what it was in the second, within 10 % and 2 MiB;
  - when the load has gone, so have the descriptors that it took.

Python 3.11 and the standard library; Linux, for /proc. Exit code 0 where the result is good.
"""

import argparse
import asyncio
import collections
import hashlib
import json
import os
import pathlib
import random
import re
import signal
import statistics
import sys
import tempfile
import time
import urllib.parse

import wire
from others import BIG, Api, TokenEndpoint

CLIENTS = 24
KINDS = {"GET": 60, "POST": 25, "big": 10, "broken": 2, "new connection": 3}


class Books:
    def __init__(self):
        self.sent = collections.Counter()
        self.excused = collections.Counter()
        self.failures = []
        self.number = 0
        self.worst = 0.0

    def next(self, kind):
        self.number += 1
        self.sent[kind] += 1
        return str(self.number)

    def fail(self, kind, number, what):
        self.failures.append(f"{time.strftime('%H:%M:%S')} {kind} {number}: {what}")


class Client:
    """A client with a kept-alive connection."""

    def __init__(self, soak):
        self.soak, self.stream = soak, None

    async def one(self, kind):
        soak, number = self.soak, self.soak.books.next(kind)
        method, path, body = {
            "GET": ("GET", "/api/small", b""),
            "POST": ("POST", "/api/echo", BIG[:soak.rng.randrange(1, 4000)]),
            "big": ("GET", "/api/big", b""),
            "broken": ("GET", "/api/broken", b""),
            "new connection": ("GET", "/api/small", b""),
        }[kind]
        if kind == "new connection":
            self.close()
        began = time.monotonic()
        try:
            status, answer = await asyncio.wait_for(self.exchange(method, path, body, number), 30)
        except (wire.Broken, ConnectionError, asyncio.IncompleteReadError) as error:
            self.close()
            if kind == "broken":
                soak.books.excused["answers that the API broke off, seen as broken"] += 1
            else:
                soak.books.fail(kind, number, f"connection: {error!r}")
            return
        except asyncio.TimeoutError:
            self.close()
            soak.books.fail(kind, number, "no answer within 30 s")
            return
        soak.books.worst = max(soak.books.worst, time.monotonic() - began)
        self.judge(kind, number, status, answer, body)

    def judge(self, kind, number, status, answer, body):
        books, api = self.soak.books, self.soak.api
        if kind == "POST" and status == 502 and api.arrivals[number] == 0:
            books.excused["POSTs that met a connection being closed"] += 1
        elif kind == "broken":
            books.fail(kind, number, f"a broken answer came as a whole one: {status}")
        elif status != 200:
            books.fail(kind, number, f"{status} {answer[:300]!r}")
        elif kind == "big" and answer != BIG:
            books.fail(kind, number, f"another body, {len(answer)} bytes")
        elif kind == "POST" and json.loads(answer)["sha256"] != hashlib.sha256(body).hexdigest():
            books.fail(kind, number, "the API got another body")
        if kind == "POST" and api.arrivals[number] > 1:
            books.fail(kind, number, f"sent {api.arrivals[number]} times")

    async def exchange(self, method, path, body, number):
        if self.stream is None:
            self.stream = await asyncio.open_connection(*self.soak.proxy)
        reader, writer = self.stream
        fields = {"Host": "%s:%d" % self.soak.proxy, "X-Soak-Id": number}
        if body:
            fields["Content-Length"] = len(body)
        writer.write(wire.head(f"{method} {path} HTTP/1.1", fields) + body)
        await writer.drain()
        answer = await wire.read_head(reader)
        if answer is None:
            raise wire.Broken("closed before an answer")
        body = await wire.read_body(reader, answer[1])
        if answer[1].get("connection", "").lower() == "close":
            self.close()
        return int(answer[0].split()[1]), body

    def close(self):
        if self.stream is not None:
            self.stream[1].close()
            self.stream = None


class Soak:
    def __init__(self, arguments):
        self.arguments = arguments
        self.rng = random.Random(arguments.seed)
        self.books = Books()
        self.reloads = collections.Counter()
        self.slow = collections.Counter()
        self.samples = []
        self.over = False

    async def run(self):
        with tempfile.TemporaryDirectory() as folder:
            self.folder = pathlib.Path(folder)
            await self.start()
            try:
                await self.settled_start()
                await self.soak()
                await self.settle()
            finally:
                for process in (self.process, self.sandbox):
                    if process.returncode is None:
                        process.terminate()
                        await process.wait()
        return self.verdict()

    async def start(self):
        binary = self.arguments.binary.resolve()
        self.sandbox = await asyncio.create_subprocess_exec(
            binary, "sandbox", "--listen", "127.0.0.1:0", "--out", self.folder / "sandbox", stdout=asyncio.subprocess.PIPE
        )
        line = (await asyncio.wait_for(self.sandbox.stdout.readline(), 30)).decode()
        host, port = re.search(r"http://([\d.]+):(\d+)", line).groups()
        while b"--config" not in await asyncio.wait_for(self.sandbox.stdout.readline(), 30):
            pass
        self.api = await Api(self.rng).start()
        self.endpoint = await TokenEndpoint(self.rng, (host, int(port)), *self.arguments.flap).start()

        written = (self.folder / "sandbox/proxy.toml").read_text()
        client_id = re.search(r'client_id = "(.*)"', written).group(1)
        kid = re.search(r'kid *= "(.*)"', written).group(1)
        self.key = self.folder / "key.pem"
        self.key_text = (self.folder / "sandbox/key.pem").read_text()
        self.replace(self.key, self.key_text)
        self.config = self.folder / "proxy.toml"
        self.base = f"""listen = "127.0.0.1:0"
admin = "127.0.0.1:0"
threads = 2
[clients.soak]
issuer = "http://{host}:{port}/"
token_endpoint = "http://127.0.0.1:{self.endpoint.address[1]}/token"
client_id = "{client_id}"
key = {{ file = "key.pem", kid = "{kid}" }}
""" + self.route("api")
        self.replace(self.config, self.base)
        # Requests are logged to a file, as a busy service would; it is looked at after a failure.
        self.log = open(self.arguments.log or os.devnull, "wb", buffering=0)
        self.process = await asyncio.create_subprocess_exec(
            binary, "serve", "--config", self.config, "--log-format", "json", stderr=asyncio.subprocess.PIPE
        )
        self.proxy = self.admin = None
        while self.proxy is None:
            line = await asyncio.wait_for(self.process.stderr.readline(), 30)
            self.log.write(line)
            if not line:
                raise SystemExit("the proxy did not start; see --log")
            said = json.loads(line)
            if said.get("message") == "listening":
                self.proxy, self.admin = (
                    (url.hostname, url.port) for url in map(urllib.parse.urlsplit, (said["proxy"], said["admin"]))
                )
        self.logging = asyncio.create_task(self.keep_log())

    async def keep_log(self):
        while line := await self.process.stderr.readline():
            self.log.write(line)

    def route(self, name):
        return f"""[[routes]]
name = "{name}"
path = "/{name}"
upstream = "http://127.0.0.1:{self.api.address[1]}"
scopes = ["demo:api"]
"""

    def replace(self, path, text, mode=0o600):
        """As editors and Kubernetes do it: a rename into place."""
        new = path.with_suffix(".new")
        new.touch(mode)
        new.write_text(text)
        new.rename(path)

    async def settled_start(self):
        """Tokens held; what an idle proxy takes is the measure for the end."""
        await self.until("ready", lambda: self.admin_status("/readyz"), 200)
        self.idle = self.sample()

    async def admin_status(self, path):
        return (await wire.request(self.admin, "GET", path))[0]

    async def until(self, name, ask, wanted, timeout=30):
        end = time.monotonic() + timeout
        while (found := await ask()) != wanted:
            if time.monotonic() > end:
                self.books.fail("reload", name, f"still {found!r}, not {wanted!r}")
                return
            await asyncio.sleep(0.2)

    async def soak(self):
        end = time.monotonic() + self.arguments.minutes * 60
        queue = asyncio.Queue()
        tasks = [asyncio.create_task(task) for task in [
            *(self.client(queue) for _ in range(CLIENTS)),
            self.api.close_idle_ones(), self.endpoint.flap(), self.reload(), self.watch(),
            *(self.slow_heads() for _ in range(3)), *(self.slow_readers() for _ in range(3)),
            *(self.slow_senders() for _ in range(2)), self.deserters(),
        ]]
        due = time.monotonic()
        kinds, weights = list(KINDS), list(KINDS.values())
        while (now := time.monotonic()) < end:
            while due <= now:
                queue.put_nowait(self.rng.choices(kinds, weights)[0])
                due += 1 / self.arguments.rate
            await asyncio.sleep(max(0, due - time.monotonic()))
            for task in tasks:
                if task.done() and task.exception() is not None:
                    raise task.exception()
        self.over = self.api.calm = self.endpoint.calm = True
        for _ in range(CLIENTS):
            queue.put_nowait(None)
        await asyncio.gather(*tasks[:CLIENTS])
        for task in tasks[CLIENTS:]:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self.unserved = queue.qsize()

    async def client(self, queue):
        client = Client(self)
        while (kind := await queue.get()) is not None:
            await client.one(kind)
        client.close()

    # === the unpleasant clients ===

    async def slow_heads(self):
        """A head that never ends: the proxy must put an end to it, after half a minute."""
        while not self.over:
            reader, writer = await asyncio.open_connection(*self.proxy)
            writer.write(b"GET /api/small HTTP/1.1\r\nHost: %s:%d\r\nX-Slow: " % (self.proxy[0].encode(), self.proxy[1]))
            began = time.monotonic()
            ended = asyncio.create_task(reader.read())
            try:
                while not ended.done() and time.monotonic() - began < 60:
                    writer.write(b"a")
                    await asyncio.wait([ended], timeout=1)
                if ended.done():
                    self.slow["heads that took too long, ended by the proxy"] += 1
                else:
                    self.books.fail("slow head", "-", "still open after 60 s")
            finally:
                ended.cancel()
                writer.close()

    async def slow_readers(self):
        while not self.over:
            number = self.books.next("slow reader")
            reader, writer = await asyncio.open_connection(*self.proxy, limit=16384)
            try:
                writer.write(wire.head("GET /api/big HTTP/1.1", {"Host": "%s:%d" % self.proxy, "X-Soak-Id": number}))
                answer = await wire.read_head(reader)
                body = await wire.read_body(reader, answer[1], pause=0.2) if answer else None
                if body != BIG:
                    self.books.fail("slow reader", number, "closed" if body is None else f"{answer[0]}, {len(body)} bytes")
                self.slow["answers read slowly, whole"] += 1
            except (wire.Broken, ConnectionError) as error:
                self.books.fail("slow reader", number, repr(error))
            finally:
                writer.close()

    async def slow_senders(self):
        while not self.over:
            number = self.books.next("slow sender")
            body = BIG[:1000]
            reader, writer = await asyncio.open_connection(*self.proxy)
            try:
                fields = {"Host": "%s:%d" % self.proxy, "X-Soak-Id": number, "Content-Length": len(body)}
                writer.write(wire.head("POST /api/echo HTTP/1.1", fields))
                for at in range(0, len(body), 100):
                    writer.write(body[at:at + 100])
                    await asyncio.sleep(0.7)
                answer = await wire.read_head(reader)
                status = int(answer[0].split()[1]) if answer else None
                if status == 502 and self.api.arrivals[number] == 0:
                    self.books.excused["POSTs that met a connection being closed"] += 1
                elif status != 200:
                    self.books.fail("slow sender", number, f"{status}")
                else:
                    await wire.read_body(reader, answer[1])
                    self.slow["bodies sent slowly, served"] += 1
            except (wire.Broken, ConnectionError) as error:
                self.books.fail("slow sender", number, repr(error))
            finally:
                writer.close()

    async def deserters(self):
        """Clients that go away in the middle, by FIN or RST."""
        while not self.over:
            await asyncio.sleep(1)
            reader, writer = await asyncio.open_connection(*self.proxy)
            writer.write(wire.head("GET /api/big HTTP/1.1", {"Host": "%s:%d" % self.proxy, "X-Soak-Id": "deserter"}))
            if self.rng.random() < 0.7:
                await reader.read(1000)
            self.slow["clients that went away"] += 1
            if self.rng.random() < 0.5:
                wire.reset(writer)
            else:
                writer.close()

    # === reloads ===

    async def reload(self):
        ways = [self.by_signal, self.by_route, self.by_key, self.by_halves, self.by_mistake, self.by_absence]
        while True:
            for way in ways:
                await asyncio.sleep(self.arguments.reload_every)
                await way()
                self.reloads[way.__doc__] += 1

    async def by_signal(self):
        """SIGHUP"""
        before = await self.loaded_at()
        self.process.send_signal(signal.SIGHUP)

        async def newer():
            return await self.loaded_at() != before

        await self.until("SIGHUP", newer, True)

    async def by_route(self):
        """a route added, used, and taken away"""
        async def status():
            return (await wire.request(self.proxy, "GET", "/more/small", {"X-Soak-Id": "more"}))[0]

        self.replace(self.config, self.base + self.route("more"))
        await self.until("a new route", status, 200)
        self.replace(self.config, self.base)
        await self.until("a removed route", status, 404)

    async def by_key(self):
        """the key file replaced"""
        before = await self.loaded_at()
        self.replace(self.key, f"written anew: {self.rng.random()}\n" + self.key_text)

        async def newer():
            return await self.loaded_at() != before

        await self.until("a replaced key file", newer, True)

    async def by_halves(self):
        """the configuration written in two halves"""
        before, half = await self.loaded_at(), len(self.base) // 2
        with open(self.config, "w") as file:
            file.write(f"# {self.rng.random()}\n" + self.base[:half])
            file.flush()
            await asyncio.sleep(1.3)
            file.write(self.base[half:])

        async def newer():
            return await self.loaded_at() != before and await self.error() is None

        await self.until("a file written in halves", newer, True)

    async def by_mistake(self):
        """a mistake, reported and mended"""
        self.replace(self.config, self.base.replace("client_id", "cleint_id"))

        async def reported():
            return "did you mean `client_id`?" in (await self.error() or "")

        async def mended():
            return await self.error() is None

        await self.until("a mistake reported", reported, True)
        self.replace(self.config, self.base)
        await self.until("a mistake mended", mended, True)

    async def by_absence(self):
        """the key file gone for a while"""
        away = self.key.with_suffix(".away")
        self.key.rename(away)

        async def reported():
            return await self.error() is not None

        await self.until("a missing key reported", reported, True)
        away.rename(self.key)
        await self.until("a missing key come back", reported, False)

    async def state(self):
        return json.loads((await wire.request(self.admin, "GET", "/api/status"))[2])["config"]

    async def loaded_at(self):
        return (await self.state())["loaded_at"]

    async def error(self):
        return (await self.state())["error"]

    # === measures ===

    def sample(self):
        """Resident memory in KiB, descriptors, threads."""
        proc = pathlib.Path(f"/proc/{self.process.pid}")
        status = dict(line.split(":", 1) for line in (proc / "status").read_text().splitlines())
        try:
            descriptors = len(os.listdir(proc / "fd"))
        except PermissionError:
            # The process is not dumpable, so only root may look; what it reports must do.
            descriptors = int(re.search(r"FDSize:\s+(\d+)", (proc / "status").read_text()).group(1))
        return int(status["VmRSS"].split()[0]), descriptors, int(status["Threads"])

    async def watch(self):
        while not self.over:
            self.samples.append(self.sample())
            await asyncio.sleep(5)
            if self.process.returncode is not None:
                raise SystemExit(f"the proxy ended with {self.process.returncode}; see --log")

    async def settle(self):
        """Kept-alive connections are closed after a minute or so."""
        end = time.monotonic() + 150
        while True:
            self.after = self.sample()
            if self.after[1] <= self.idle[1] + 4 or time.monotonic() > end:
                return
            await asyncio.sleep(2)

    def verdict(self):
        books, rss = self.books, [sample[0] for sample in self.samples]
        fifth = max(1, len(rss) // 5)
        early, late = statistics.median(rss[fifth:2 * fifth]), statistics.median(rss[-fifth:])
        checks = {
            "no request failed that could have been served": not books.failures,
            "no token past its end was sent": self.api.dead_tokens == 0,
            "memory is flat": late <= early * 1.1 + 2048,
            "no descriptor is left over": self.after[1] <= self.idle[1] + 4,
            "the load was kept up": self.unserved <= self.arguments.rate,
        }
        out = {
            "minutes": self.arguments.minutes,
            "requests": dict(books.sent) | {"all": sum(books.sent.values())},
            "not to be served": dict(books.excused),
            "failures": len(books.failures),
            "slowest answer, seconds": round(books.worst, 3),
            "injected by the API": dict(self.api.injected),
            "token requests": dict(self.endpoint.asked),
            "slow clients": dict(self.slow),
            "reloads": dict(self.reloads),
            "resident MiB, medians of tenths": [
                round(statistics.median(part) / 1024, 1) for part in tenths(rss)
            ],
            "resident MiB: idle, second fifth, last fifth, most, after": [
                round(kib / 1024, 1) for kib in (self.idle[0], early, late, max(rss), self.after[0])
            ],
            "descriptors: idle, most, after": [self.idle[1], max(sample[1] for sample in self.samples), self.after[1]],
            "threads: idle, most": [self.idle[2], max(sample[2] for sample in self.samples)],
            "verdict": checks,
        }
        print(json.dumps(out, indent=1, ensure_ascii=False))
        for failure in books.failures[:50]:
            print(failure, file=sys.stderr)
        return 0 if all(checks.values()) else 1


def tenths(values):
    step = max(1, len(values) // 10)
    return [values[at:at + step] for at in range(0, len(values) - step + 1, step)]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--binary", type=pathlib.Path, default="target/release/maskinporten-proxy")
    parser.add_argument("--minutes", type=float, default=30)
    parser.add_argument("--rate", type=int, default=50, help="requests per second (default: %(default)s)")
    parser.add_argument("--reload-every", type=float, default=15, metavar="SECONDS")
    parser.add_argument("--flap", type=float, nargs=2, default=(25, 35), metavar=("UP", "DOWN"),
                        help="seconds for which the token endpoint works and fails in turn (default: 25 35)")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--log", type=pathlib.Path, help="where the proxy's log goes")
    sys.exit(asyncio.run(Soak(parser.parse_args()).run()))


if __name__ == "__main__":
    main()
