"""TLS clients that no library has: hellos in pieces, hellos that lie, handshakes that end in the middle.

Usage: tls_client.py WHAT HOST PORT COUNT
"""

import socket
import ssl
import struct
import sys
import time

what, host, port, count = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])


def connect():
    s = socket.create_connection((host, port), timeout=20)
    s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return s


class Client:
    """A TLS client of which the caller moves the bytes."""

    def __init__(self, protocols=("h2", "http/1.1"), name="www.example.test", newest=None):
        context = ssl.create_default_context()
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        if newest:
            context.maximum_version = newest
        context.set_alpn_protocols(list(protocols))
        self.incoming, self.outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.tls = context.wrap_bio(self.incoming, self.outgoing, server_hostname=name)

    def step(self):
        """Whether the handshake is completed."""
        try:
            self.tls.do_handshake()
            return True
        except ssl.SSLWantReadError:
            return False

    def hello(self):
        assert not self.step()
        return self.outgoing.read()

    def finish(self, s, pieces=1):
        done = False
        while not done:
            data = s.recv(65536)
            assert data, "the server closed the connection"
            self.incoming.write(data)
            done = self.step()
            send(s, self.outgoing.read(), pieces)


def send(s, data, pieces):
    """Sends in so many segments."""
    size = max(1, -(-len(data) // pieces))
    for at in range(0, len(data), size):
        if at:
            time.sleep(0.002)
        s.sendall(data[at:at + size])


def end(s, reset):
    if reset:
        s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    s.close()


# Names of protocols that make a hello as long as one with a post-quantum key share.
LONG = ["h2", "http/1.1"] + [chr(97 + at) * 200 for at in range(6)]

for at in range(count):
    if what in ("pieces", "pieces12"):
        newest = ssl.TLSVersion.TLSv1_2 if what == "pieces12" else None
        client = Client(LONG, newest=newest)
        with connect() as s:
            send(s, client.hello(), at % 9 + 1)
            client.finish(s, at % 3 + 1)
            s.shutdown(socket.SHUT_WR)
            while s.recv(65536):
                pass
    elif what == "bytes":
        client = Client()
        with connect() as s:
            hello = client.hello()
            send(s, hello, len(hello))
            client.finish(s)
    elif what == "long":
        # 16 kB in one record.
        client = Client(["h2"] + [chr(97 + at % 26) * 250 for at in range(60)])
        with connect() as s:
            hello = client.hello()
            assert len(hello) > 15000, len(hello)
            s.sendall(hello)
            client.finish(s)
    elif what in ("close", "reset"):
        s = connect()
        s.sendall(Client().hello())
        assert s.recv(1) == b"\x16"
        end(s, what == "reset")
    elif what == "half":
        s = connect()
        s.sendall(Client().hello()[:100])
        time.sleep(0.01)
        s.shutdown(socket.SHUT_WR)
        while s.recv(65536):
            pass
        s.close()
    elif what == "lies":
        hello = bytearray(Client().hello())
        # Header of the record and of the message, version, random; session, ciphers, compressions; then the list of extensions.
        place = 5 + 4 + 2 + 32
        place += 1 + hello[place]
        place += 2 + int.from_bytes(hello[place:place + 2], "big")
        place += 1 + hello[place]
        hello[place:place + 2] = b"\xff\xff"
        with connect() as s:
            s.sendall(hello)
            while s.recv(65536):
                pass
    elif what == "garbage":
        with connect() as s:
            try:
                s.sendall(bytes((at * 7 + n * n) & 0x7f for n in range(3000)))
                while s.recv(65536):
                    pass
            except ConnectionResetError:
                pass
    elif what == "silent":
        connect().close()
    elif what == "held":
        # Opens a connection, says so, and asks for a page when told to.
        client = Client(["http/1.1"])
        with connect() as s:
            s.sendall(client.hello())
            client.finish(s)
            print("open", flush=True)
            sys.stdin.readline()
            for _ in range(3):
                client.tls.write(b"GET / HTTP/1.1\r\nHost: www.example.test\r\n\r\n")
                s.sendall(client.outgoing.read())
                assert s.recv(65536)
    else:
        sys.exit(f"what is {what}?")
