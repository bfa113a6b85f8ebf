"""As much HTTP/1.1 over asyncio streams as the soak needs, on both sides, and no more leniency."""

import asyncio
import socket
import struct


class Broken(Exception):
    """The other side closed, or reset, before what it began was whole."""


async def read_head(reader):
    """The first line and the fields, names in lower case. None where the peer has closed."""
    try:
        raw = await reader.readuntil(b"\r\n\r\n")
    except asyncio.IncompleteReadError as error:
        if not error.partial:
            return None
        raise Broken("closed in a head") from error
    except ConnectionError:
        return None
    first, *lines = raw.decode("latin-1").split("\r\n")[:-2]
    fields = {}
    for line in lines:
        name, _, value = line.partition(":")
        fields[name.lower()] = value.strip()
    return first, fields


async def read_body(reader, fields, pause=0.0):
    """The whole body, by Content-Length or chunks; with a pause after each read, a slow reader's."""
    try:
        if fields.get("transfer-encoding", "").lower() == "chunked":
            body = bytearray()
            while True:
                size = int(await reader.readuntil(b"\r\n"), 16)
                if size == 0:
                    await reader.readuntil(b"\r\n")
                    return bytes(body)
                body += await slowly(reader, size, pause)
                await reader.readexactly(2)
        return bytes(await slowly(reader, int(fields.get("content-length", 0)), pause))
    except (asyncio.IncompleteReadError, ConnectionError, ValueError) as error:
        raise Broken(f"closed in a body: {error!r}") from error


async def slowly(reader, size, pause):
    body = bytearray()
    while len(body) < size:
        part = await reader.read(min(size - len(body), 8192 if pause else 1 << 20))
        if not part:
            raise asyncio.IncompleteReadError(bytes(body), size)
        body += part
        if pause:
            await asyncio.sleep(pause)
    return body


async def request(address, method, path, fields=None, body=b"", timeout=60):
    """One request on a connection of its own: status, fields, body."""

    async def exchange():
        reader, writer = await asyncio.open_connection(*address)
        try:
            writer.write(head(f"{method} {path} HTTP/1.1", {
                "Host": "%s:%d" % address, "Content-Length": str(len(body)), "Connection": "close", **(fields or {}),
            }) + body)
            answer = await read_head(reader)
            if answer is None:
                raise Broken("closed before an answer")
            return int(answer[0].split()[1]), answer[1], await read_body(reader, answer[1])
        finally:
            writer.close()

    return await asyncio.wait_for(exchange(), timeout)


def head(first, fields):
    return (first + "\r\n" + "".join(f"{name}: {value}\r\n" for name, value in fields.items()) + "\r\n").encode()


def reset(writer):
    """Closes with RST in place of FIN."""
    sock = writer.get_extra_info("socket")
    if sock is not None:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()
