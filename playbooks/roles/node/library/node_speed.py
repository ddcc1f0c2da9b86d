#!/usr/bin/python
# WANT_JSON
"""How fast the server computes, by a short fixed benchmark that every core runs at the same time.

What is measured never changes without another `VERSION`: figures of different versions cannot be compared. It is
Python's own interpreter, its SHA-256 and its zlib, each about a third of the time; so the figure speaks of the
server with the system that is on it, not of the processor alone.
"""

import hashlib
import json
import os
import platform
import time
import zlib

DOCUMENTATION = r"""
module: node_speed
short_description: How fast the server computes
description:
  - Runs a fixed benchmark on every core at the same time, three times, and tells the median.
options: {}
"""

RETURN = r"""
factor: {description: Speed of one core while all work; 1.0 is a core that does one pass in 100 ms., type: float}
version: {description: Which benchmark it was., type: int}
seconds: {description: Time of one pass., type: float}
cores: {description: How many ran it at the same time., type: int}
python: {description: Version of the interpreter that ran it., type: str}
"""

VERSION = 1
ROUNDS = 3
REFERENCE = 0.100  # seconds that one pass takes where the factor is 1.0
BLOCK = bytes(range(256)) * 256


def work():
    """One pass; returns its seconds."""
    began = time.perf_counter()
    total = 0
    for number in range(250_000):
        total = (total * 31 + number) & 0xFFFFFFFF
    for _ in range(500):
        hashlib.sha256(BLOCK).digest()
    for _ in range(120):
        zlib.compress(BLOCK, 6)
    return time.perf_counter() - began


def on_every_core(cores):
    """One pass on each core at the same time; the mean of their seconds."""
    start, told = os.pipe(), os.pipe()
    children = []
    for core in cores:
        child = os.fork()
        if not child:
            os.sched_setaffinity(0, [core])
            os.close(start[1])
            os.read(start[0], 1)  # ends for all of them at once
            os.write(told[1], b"%.6f\n" % work())
            os._exit(0)
        children.append(child)
    os.close(start[0])
    os.close(start[1])
    os.close(told[1])
    with os.fdopen(told[0]) as answers:
        seconds = [float(line) for line in answers]
    for child in children:
        os.waitpid(child, 0)
    return sum(seconds) / len(seconds)


def main():
    cores = sorted(os.sched_getaffinity(0))
    seconds = sorted(on_every_core(cores) for _ in range(ROUNDS))[ROUNDS // 2]
    answer = {"factor": round(REFERENCE / seconds, 3), "version": VERSION, "seconds": round(seconds, 4)}
    print(json.dumps({**answer, "cores": len(cores), "python": platform.python_version(), "changed": False}))


if __name__ == "__main__":
    main()
