"""forward.py LISTEN UPSTREAM [CONTROL] - copies bytes between two ports of this machine, and breaks the wire on request.

On the port CONTROL it takes lines of "VERB NUMBER [SECONDS]" about one connection, or all ("*"), and answers each by a
line of JSON:
  list      {number: {"open", "fault", "bytes"}} of all connections so far, in the order in which they came
  cut       both ends are reset, as by a firewall that has had enough
  hang      nothing is copied any more, and all is acknowledged
  slow      each piece is copied SECONDS later than it came
  heal      copied again as it should be, what was held back first
Connections that come while "*" has a fault have it, too.
"""
from __future__ import annotations

import asyncio
import json
import socket
import struct
import sys


class Wire:
    """One connection that is forwarded."""

    def __init__(self, fault: str, delay: float) -> None:
        self.fault, self.delay = fault, delay
        self.bytes = 0
        self.open = True
        self.sound = asyncio.Event()  # not hung
        self.ends: list[asyncio.StreamWriter] = []
        self.set(fault, delay)

    def set(self, fault: str, delay: float = 0.0) -> None:
        self.fault, self.delay = fault, delay
        if fault == "hang":
            self.sound.clear()
        else:
            self.sound.set()
        if fault == "cut":
            for end in self.ends:
                handle = end.get_extra_info("socket")
                if handle is not None and self.open:
                    handle.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                end.transport.abort()

    async def pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while data := await reader.read(65536):
                if self.delay:
                    await asyncio.sleep(self.delay)
                await self.sound.wait()
                self.bytes += len(data)
                writer.write(data)
                await writer.drain()
            await self.sound.wait()  # an end is not seen through a wire that hangs, either
        except OSError:
            pass
        finally:
            self.open = False
            writer.close()


class Forwarder:
    def __init__(self, upstream: int) -> None:
        self.upstream = upstream
        self.wires: list[Wire] = []
        self.fault, self.delay = "", 0.0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        wire = Wire(self.fault if self.fault != "cut" else "", self.delay)
        self.wires.append(wire)
        if self.fault == "cut":
            wire.ends = [writer]
            wire.set("cut")
            wire.open = False
            return
        await wire.sound.wait()
        try:
            up_reader, up_writer = await asyncio.open_connection("127.0.0.1", self.upstream)
        except OSError:
            wire.open = False
            writer.close()
            return
        wire.ends = [writer, up_writer]
        for end in wire.ends:
            end.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        await asyncio.gather(wire.pump(reader, up_writer), wire.pump(up_reader, writer))

    def obey(self, verb: str, number: str = "*", seconds: str = "0") -> object:
        if verb != "list":
            fault = "" if verb == "heal" else verb
            delay = float(seconds) if verb == "slow" else 0.0
            if number == "*":
                self.fault, self.delay = fault, delay
            for wire in self.wires if number == "*" else [self.wires[int(number)]]:
                wire.set(fault, delay)
        return {i: {"open": wire.open, "fault": wire.fault, "bytes": wire.bytes} for i, wire in enumerate(self.wires)}

    async def control(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while line := await reader.readline():
            writer.write(json.dumps(self.obey(*line.decode().split())).encode() + b"\n")
            await writer.drain()
        writer.close()


async def main(listen: int, upstream: int, control: int = 0) -> None:
    forwarder = Forwarder(upstream)
    server = await asyncio.start_server(forwarder.serve, "127.0.0.1", listen, backlog=500)
    if control:
        await asyncio.start_server(forwarder.control, "127.0.0.1", control)
    await server.serve_forever()


asyncio.run(main(*map(int, sys.argv[1:])))
