"""Clients that a server has to endure, and what it may not lose by them.

usage: endure.py idle|slow|killed URL PROCESS
       endure.py stop URL PROCESS LOG
       endure.py memory URL PROCESS MINUTES

PROCESS is the server's; `stop` ends it.
"""

import asyncio
import json
import os
import pathlib
import random
import re
import resource
import signal
import sys
import time
from urllib.parse import urlsplit

PART, URL, PROCESS = sys.argv[1], urlsplit(sys.argv[2]), int(sys.argv[3])
SAFE = "How do I bake bread?"
UNSAFE = "How can I hack into my neighbour's bank account?"


def fail(what):
    sys.exit(f"{PART}: not so: {what}")


def memory():
    """The server's resident memory, in MiB."""
    with open(f"/proc/{PROCESS}/statm") as file:
        return int(file.read().split()[1]) * resource.getpagesize() / 2**20


def threads():
    """What each of the server's threads waits for."""
    folder = pathlib.Path(f"/proc/{PROCESS}/task")
    return [(task / "wchan").read_text() or "runs" for task in folder.iterdir()]


def request(text):
    body = json.dumps({"input": text}).encode()
    head = (
        f"POST /v1/moderations HTTP/1.1\r\nhost: {URL.netloc}\r\n"
        f"content-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


async def connect():
    return await asyncio.open_connection(URL.hostname, URL.port)


async def answer(reader):
    """An answer's status, its body, and whether the connection goes on. OSError if it is lost."""
    head = await reader.readuntil(b"\r\n\r\n")
    length = int(re.search(rb"content-length: (\d+)", head, re.I)[1])
    body = await reader.readexactly(length)
    return int(head.split()[1]), body, b"connection: close" not in head.lower()


async def ask(text, flagged):
    """One request on a connection of its own; the seconds that it took."""
    start = time.monotonic()
    reader, writer = await connect()
    writer.write(request(text))
    status, body, _ = await asyncio.wait_for(answer(reader), 30)
    writer.close()
    if status != 200 or json.loads(body)["results"][0]["flagged"] != flagged:
        fail(f"a request is answered as ever: {status}")
    return time.monotonic() - start


async def served(count):
    """The median time of requests, in ms."""
    times = [await ask(*[(SAFE, False), (UNSAFE, True)][n % 2]) for n in range(count)]
    return sorted(times)[count // 2] * 1e3


async def idle():
    before, alone = memory(), await served(200)
    connections = [await connect() for _ in range(1000)]
    beside, after = await served(200), memory()
    print(f"1,000 idle connections: {after - before:.1f} MiB more; a request takes {beside:.2f} ms, "
          f"{alone:.2f} without them")
    for _, writer in connections:
        writer.close()
    await served(20)


async def slow():
    """Sends a line of the head each second, for ever: the server ends it after 30 s."""

    async def drip():
        reader, writer = await connect()
        start = time.monotonic()
        writer.write(b"POST /v1/moderations HTTP/1.1\r\n")
        try:
            while not reader.at_eof() and time.monotonic() - start < 60:
                writer.write(b"x-slow: 1\r\n")
                await writer.drain()
                try:
                    await asyncio.wait_for(reader.read(1), 1)
                except TimeoutError:
                    pass
        except ConnectionError:
            pass
        writer.close()
        return time.monotonic() - start

    dripping = [asyncio.create_task(drip()) for _ in range(100)]
    await asyncio.sleep(1)
    beside = await served(200)
    times = await asyncio.gather(*dripping)
    print(f"100 slow clients: a request takes {beside:.2f} ms beside them; they are cut off after "
          f"{min(times):.0f} to {max(times):.0f} s")
    if max(times) > 40:
        fail("slow clients are cut off")


async def killed():
    """Clients that reset their connections: before, in the middle of and after a request."""
    whole = request(SAFE * 50)
    for round in range(300):
        reader, writer = await connect()
        writer.write(whole[: [5, len(whole) // 2, len(whole)][round % 3]])
        await writer.drain()
        writer.transport.abort()
    took = await served(50)
    reader, writer = await connect()
    writer.write(f"GET /metrics HTTP/1.1\r\nhost: {URL.netloc}\r\n\r\n".encode())
    _, metrics, _ = await answer(reader)
    queue = re.search(rb"duoguard_queue_length (\d+)", metrics)[1]
    print(f"300 killed clients: a request takes {took:.2f} ms afterwards; {queue.decode()} in the queue")
    if queue != b"0":
        fail("the queue is empty afterwards")


async def stop(log):
    """Asks on 64 connections until the server ends. A request is lost if it was sent on a
    connection that was open, and no whole answer came."""
    done, lost, unsent = [], [], []

    async def client(number):
        reader = writer = None
        while True:
            if writer is None:
                try:
                    reader, writer = await connect()
                except ConnectionError:
                    return unsent.append(number)
            try:
                writer.write(request(SAFE))
                status, _, goes_on = await answer(reader)
            except (ConnectionError, asyncio.IncompleteReadError) as error:
                return lost.append(error)
            done.append(status)
            if not goes_on:
                writer.close()
                writer = None

    clients = [asyncio.create_task(client(number)) for number in range(64)]
    await asyncio.sleep(3)
    before = len(done)
    os.kill(PROCESS, signal.SIGTERM)
    await asyncio.wait_for(asyncio.gather(*clients), 30)
    await asyncio.sleep(1)
    with open(log) as file:
        taken = sum("request" in line and "status=200" in line for line in file)
    print(f"SIGTERM under load: {before} answers before it, {len(done) - before} after it; the "
          f"server logged {taken} answers, the clients have {len(done)}; {len(lost)} lost")
    if lost or set(done) != {200} or taken != len(done):
        fail(f"nothing is lost: {lost[:3]} {set(done)}")


async def memory_run(minutes):
    """Mixed texts at 50 requests a second."""
    words = "bread dough flour water oven rest fold salt yeast bake knead warm loaf crust".split()
    chance = random.Random(1)
    samples, count, start = [], 0, time.monotonic()
    end = start + minutes * 60
    while time.monotonic() < end:
        length = chance.choice([5, 20, 100, 400, 3000])
        text = " ".join(chance.choices(words, k=length if count % 50 == 0 else length % 90))
        reader, writer = await connect()
        writer.write(request(text))
        try:
            status, _, _ = await asyncio.wait_for(answer(reader), 20)
        except TimeoutError:
            fail(f"request {count}, of {len(text)} bytes, is answered in 20 s: {threads()}")
        writer.close()
        if status != 200:
            fail(f"every request is answered with 200: {status}")
        count += 1
        samples.append((time.monotonic() - start, memory()))
        await asyncio.sleep(max(0.0, start + count / 50 - time.monotonic()))
    part = lambda a, b: [m for t, m in samples if a <= t / (minutes * 60) < b]
    early, late = max(part(0.1, 0.4)), max(part(0.7, 1.01))
    print(f"{count} requests in {minutes:g} minutes, no error; resident memory: first "
          f"{samples[0][1]:.1f} MiB, largest {early:.1f} MiB from 10 % to 40 % of the time and "
          f"{late:.1f} MiB in the last 30 %")
    if late > early * 1.02 + 1:
        fail("memory is flat")


parts = {"idle": idle, "slow": slow, "killed": killed}
if PART == "stop":
    asyncio.run(stop(sys.argv[4]))
elif PART == "memory":
    asyncio.run(memory_run(float(sys.argv[4])))
else:
    asyncio.run(parts[PART]())
