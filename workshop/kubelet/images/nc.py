"""nc: `nc [-u] [-z] [-v] [-w SECONDS] HOST PORT` connects, `nc -l [-k] [-p] PORT` listens."""
# mypy: ignore-errors

import os
import selectors
import socket
import sys

flags, rest, wait, words = set(), [], 10.0, sys.argv[1:]
while words:
    word = words.pop(0)
    if word.startswith("-w"):
        wait = float(word[2:] or words.pop(0))
    elif word.startswith("-"):
        flags.update(word[1:])
    else:
        rest.append(word)
if not rest:
    sys.stderr.write("Usage: nc [-l] [-z] [-w SEC] [HOST] PORT\n")
    sys.exit(1)


def pump(peer):
    choose = selectors.DefaultSelector()
    choose.register(peer, selectors.EVENT_READ)
    try:
        choose.register(0, selectors.EVENT_READ)
    except OSError:
        pass
    while True:
        for key, _ in choose.select():
            data = os.read(0, 65536) if key.fd == 0 else peer.recv(65536)
            if key.fd == 0:
                if data:
                    peer.sendall(data)
                else:
                    choose.unregister(0)
                    peer.shutdown(socket.SHUT_WR)
            elif not data:
                return
            else:
                os.write(1, data)


def ask(host, port):
    """UDP: what is read goes out as datagrams; answers are printed until none came for as long as -w says."""
    family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_DGRAM)[0]
    with socket.socket(family, socket.SOCK_DGRAM) as peer:
        peer.connect(address)
        if "v" in flags:
            sys.stderr.write(f"{host} ({address[0]}:{port}) open\n")
        while "z" not in flags and (data := os.read(0, 65507)):
            peer.send(data)
        peer.settimeout(wait)
        try:
            while "z" not in flags:
                os.write(1, peer.recv(65507))
        except TimeoutError:
            return


try:
    if "l" in flags:
        address = os.environ.get("WORKSHOP_POD_IP", "") if os.environ.get("WORKSHOP_ROOTFS") else ""
        with socket.create_server((address, int(rest[-1]))) as listener:
            while True:
                with listener.accept()[0] as peer:
                    pump(peer)
                if "k" not in flags:
                    break
    elif "u" in flags:
        ask(rest[0], rest[1])
    else:
        with socket.create_connection((rest[0], int(rest[1])), wait) as peer:
            peer.settimeout(None)
            if "v" in flags:
                sys.stderr.write(f"{rest[0]} ({peer.getpeername()[0]}:{rest[1]}) open\n")
            if "z" not in flags:
                pump(peer)
except (OSError, ValueError, IndexError) as problem:
    sys.stderr.write(f"nc: {rest[0]}: {getattr(problem, 'strerror', None) or problem}\n")
    sys.exit(1)
