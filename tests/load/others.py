"""The two that the proxy talks to: the API, and the token endpoint. Both fail on purpose, and keep
the books that say which failures were theirs."""

import asyncio
import base64
import collections
import hashlib
import json
import time

import wire

BIG = hashlib.shake_128(b"soak").digest(256 * 1024)


class Api:
    """The upstream. Each request carries its number in X-Soak-Id."""

    def __init__(self, rng):
        self.rng = rng
        self.arrivals = collections.Counter()  # request number -> times that it came
        self.injected = collections.Counter()
        self.dead_tokens = 0
        self.idle = {}  # connection -> since when, and whether all that was sent on it has arrived
        self.calm = False

    async def start(self):
        self.server = await asyncio.start_server(self.serve, "127.0.0.1", 0)
        self.address = self.server.sockets[0].getsockname()
        return self

    async def serve(self, reader, writer):
        served, path = 0, ""
        try:
            while True:
                # A reset throws away what is still on its way, and a slow reader's answer is.
                self.idle[writer] = (time.monotonic(), path != "/big")
                received = await wire.read_head(reader)
                self.idle.pop(writer, None)
                if received is None:
                    return
                path = received[0].split(" ")[1]
                if not await self.answer(received, reader, writer, served):
                    return
                served += 1
        except (wire.Broken, ConnectionError):
            pass
        finally:
            self.idle.pop(writer, None)
            writer.close()

    async def answer(self, received, reader, writer, served):
        (method, path, _), fields = received[0].split(" "), received[1]
        body = await wire.read_body(reader, fields)
        number = fields.get("x-soak-id")
        self.arrivals[number] += 1
        if not self.token_lives(fields.get("authorization", "")):
            self.dead_tokens += 1
        # On a connection that served before, this is what a client cannot tell from a keep-alive
        # that ran out; a GET is to be sent again on a new one.
        if method == "GET" and served and not self.calm and self.rng.random() < 0.01:
            self.injected["resets ahead of the answer to a GET"] += 1
            wire.reset(writer)
            return False
        if path == "/big":
            await self.chunked(writer, BIG)
        elif path == "/broken":
            writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n10000\r\n" + BIG[:20000])
            await writer.drain()
            self.injected["answers that broke off"] += 1
            wire.reset(writer)
            return False
        else:
            answer = json.dumps({"method": method, "path": path, "sha256": hashlib.sha256(body).hexdigest()}).encode()
            writer.write(wire.head("HTTP/1.1 200 OK", {"Content-Length": len(answer)}) + answer)
        await writer.drain()
        return True

    async def chunked(self, writer, body):
        writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        for at in range(0, len(body), 32768):
            part = body[at:at + 32768]
            writer.write(b"%x\r\n%b\r\n" % (len(part), part))
            await writer.drain()
        writer.write(b"0\r\n\r\n")

    def token_lives(self, authorization):
        """The proxy must never send a token past its end."""
        try:
            payload = authorization.removeprefix("Bearer ").split(".")[1]
            claims = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
        except (IndexError, ValueError):
            return False
        return claims["exp"] > time.time()

    async def close_idle_ones(self):
        """Every so often a connection that waits for its next request goes away."""
        while not self.calm:
            await asyncio.sleep(0.5)
            resting = [writer for writer, (since, _) in self.idle.items() if time.monotonic() - since > 0.05]
            if resting:
                writer = self.rng.choice(resting)
                self.injected["idle connections closed"] += 1
                if self.idle[writer][1] and self.rng.random() < 0.5:
                    wire.reset(writer)
                else:
                    writer.close()


class TokenEndpoint:
    """Passes grants on to the sandbox, or fails in one of the ways that token endpoints do."""

    WAYS = ["503", "reset", "hang", "empty", "html", "503 with Retry-After"]

    def __init__(self, rng, sandbox, up, down):
        self.rng, self.sandbox, self.up, self.down = rng, sandbox, up, down
        self.way = None
        self.asked = collections.Counter()
        self.calm = False

    async def start(self):
        self.server = await asyncio.start_server(self.serve, "127.0.0.1", 0)
        self.address = self.server.sockets[0].getsockname()
        return self

    async def flap(self):
        while not self.calm:
            self.way = None
            await asyncio.sleep(self.up)
            self.way = self.rng.choice(self.WAYS)
            await asyncio.sleep(self.down)
        self.way = None

    async def serve(self, reader, writer):
        try:
            while (received := await wire.read_head(reader)) is not None:
                body = await wire.read_body(reader, received[1])
                self.asked[self.way or "answered"] += 1
                if not await self.answer(received, body, writer):
                    return
                await writer.drain()
        except (wire.Broken, ConnectionError):
            pass
        finally:
            writer.close()

    async def answer(self, received, body, writer):
        if self.way == "reset":
            wire.reset(writer)
            return False
        if self.way == "hang":
            await asyncio.sleep(self.down)
            return False
        if self.way is not None:
            status, fields, text = {
                "503": ("503 Service Unavailable", {}, b""),
                "503 with Retry-After": ("503 Service Unavailable", {"Retry-After": "5"}, b""),
                "empty": ("200 OK", {"Content-Type": "application/json"}, b""),
                "html": ("200 OK", {"Content-Type": "text/html"}, b"<title>Vedlikehold</title>"),
            }[self.way]
            writer.write(wire.head(f"HTTP/1.1 {status}", {**fields, "Content-Length": len(text)}) + text)
            return True
        media = {"Content-Type": received[1]["content-type"]}
        status, fields, text = await wire.request(self.sandbox, "POST", "/token", media, body)
        kept = {name: fields[name] for name in ("content-type", "date") if name in fields}
        writer.write(wire.head(f"HTTP/1.1 {status} Passed on", {**kept, "Content-Length": len(text)}) + text)
        return True
