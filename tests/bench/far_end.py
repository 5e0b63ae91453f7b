"""The other end of a bench: fifteen units of 8 bytes asked and 105 answered, in a process of its own.

    python -m tests.bench.far_end BAUD [DEAD ADDRESS]

Prints the path of its pty. BAUD 0 answers at once; else bytes take their time, the last of an answer
never a microsecond early: it sleeps, and spins for the last fifth of a millisecond. Each line that
comes in on standard input is answered with what was seen since the last one, as JSON: `polls`
(moment, address), `gaps` (from just before an answer's last byte was released, and from just after,
to the next request) and `late_s`, by how much all answers together were released late.
"""

import json
import os
import select
import sys
import time
import tty

SPIN_S = 0.0002


def crc16(data: bytes) -> bytes:
    crc = 0xFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ 0xA001 if crc & 1 else crc >> 1
    return crc.to_bytes(2, "little")


def byd(address: int) -> bytes:
    payload = bytearray(96)
    payload[0:4] = (53000).to_bytes(4, "little")
    for cell in range(16):
        payload[8 + 2 * cell : 10 + 2 * cell] = (3312).to_bytes(2, "little")
    for sensor in range(5):
        payload[44 + 2 * sensor] = 21
    payload[82], payload[84] = 60, 98
    body = bytes.fromhex("0065018355aa00") + payload
    return bytes((address,)) + body + bytes((sum(body) & 0xFF,))


def modbus(address: int) -> bytes:
    frame = bytes((address, 4, 100)) + bytes(range(100))
    return frame + crc16(frame)


def main() -> None:
    baud = int(sys.argv[1])
    dead = int(sys.argv[2]) if len(sys.argv) > 2 else -1
    answers = {}
    for address in range(1, 16):
        answers[bytes((address,)) + bytes.fromhex("0004010355aa07")] = byd(address)
        request = bytes((address, 4, 0x10, 0, 0, 50))
        answers[request + crc16(request)] = modbus(address)
    ours, theirs = os.openpty()
    tty.setraw(ours)
    tty.setraw(theirs)
    print(os.ttyname(theirs), flush=True)
    byte_s = 10 / baud if baud else 0.0
    heard = b""
    released: tuple[float, float] | None = None
    polls: list[tuple[float, int]] = []
    gaps: list[tuple[float, float]] = []
    late_s = 0.0
    poller = select.poll()
    poller.register(ours, select.POLLIN)
    poller.register(0, select.POLLIN)
    while True:
        ready = [fd for fd, _ in poller.poll()]
        now_s = time.perf_counter()
        if 0 in ready:
            line = sys.stdin.readline()
            if not line:
                return
            if line.startswith("dead"):
                dead = int(line.split()[1])
            print(json.dumps({"polls": polls, "gaps": gaps, "late_s": late_s}), flush=True)
            polls, gaps, late_s = [], [], 0.0
        if ours not in ready:
            continue
        if not heard and released:
            gaps.append((now_s - released[0], now_s - released[1]))
            released = None
        heard += os.read(ours, 4096)
        if len(heard) < 8:
            continue
        request, heard = heard[:8], b""
        polls.append((now_s, request[0]))
        if request[0] == dead:
            continue
        answer = answers[request]
        if baud:
            end_s = now_s + (8 + len(answer)) * byte_s
            if (left := end_s - time.perf_counter()) > SPIN_S:
                time.sleep(left - SPIN_S)
            while time.perf_counter() < end_s:
                pass
        before_s = time.perf_counter()
        os.write(ours, answer)
        released = (before_s, time.perf_counter())
        if baud:
            late_s += released[1] - end_s


if __name__ == "__main__":
    main()
