"""What no client library sends. `client.py WHAT HOST PORT [COUNT]`."""
import os, re, select, socket, struct, sys, time

WHAT, HOST, PORT = sys.argv[1], sys.argv[2], int(sys.argv[3])
COUNT = int(sys.argv[4]) if len(sys.argv) > 4 else 1


UPGRADE = "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"


def connect(source=0):
    s = socket.socket(socket.AF_INET6 if ":" in HOST else socket.AF_INET)
    s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    s.settimeout(30)
    if source:
        s.bind(("", source))
    s.connect((HOST, PORT))
    return s


def until_closed(s):
    try:
        while s.recv(65536):
            pass
    except OSError:
        pass
    s.close()


def get(path="/", last=False, more=""):
    end = "Connection: close\r\n" if last else ""
    return f"GET {path} HTTP/1.1\r\nHost: a\r\n{more}{end}\r\n".encode()


def answer(s):
    """Reads one response with a Content-Length; gives back its header."""
    data = b""
    while b"\r\n\r\n" not in data:
        more = s.recv(65536)
        assert more, data
        data += more
    header, body = data.split(b"\r\n\r\n", 1)
    length = re.search(rb"(?i)\r\ncontent-length: *(\d+)", header)
    missing = int(length[1]) - len(body) if length else 0
    while missing > 0:
        more = s.recv(65536)
        assert more
        missing -= len(more)
    return header


def reset(s):
    """Closes at once, without waiting for anything."""
    s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    s.close()


def keep_alive():
    s = connect()
    for _ in range(COUNT):
        s.sendall(get())
        answer(s)
    s.close()


def pipelined():
    for _ in range(COUNT):
        s = connect()
        s.sendall(get() * 9 + get(last=True))
        until_closed(s)


def head():
    s = connect()
    s.sendall(b"".join(b"HEAD /big HTTP/1.1\r\nHost: a\r\n\r\n" + get() for _ in range(COUNT)) + get(last=True))
    until_closed(s)


def not_modified():
    """Asks when the file was changed, and for it if it was since."""
    s = connect()
    s.sendall(b"HEAD /big HTTP/1.1\r\nHost: a\r\n\r\n")
    header = b""
    while b"\r\n\r\n" not in header:
        header += s.recv(65536)
    date = re.search(r"(?i)last-modified: *([^\r]*)", header.decode())[1]
    s.sendall(get("/big", more=f"If-Modified-Since: {date}\r\n") * COUNT + get("/big", last=True))
    until_closed(s)


def split():
    for size in (1, 3, 7, 50):
        s = connect()
        request = get() + get(last=True)
        for at in range(0, len(request), size):
            s.sendall(request[at:at + size])
            time.sleep(0.0005)
        until_closed(s)


def upload():
    body = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n" * 50
    for _ in range(COUNT):
        s = connect()
        s.sendall(b"POST /up HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
        s.sendall(b"POST /up HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n")
        for at in range(0, len(body), 280):
            s.sendall(b"%x;a=b\r\n" % len(body[at:at + 280]) + body[at:at + 280] + b"\r\n")
        s.sendall(b"0\r\n\r\n" + get(last=True))
        until_closed(s)


def garbage():
    for noise in (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc" * 9, b"\x00" * 500, b"<hello>"):
        s = connect()
        s.sendall(noise + b"\r\n\r\n")
        until_closed(s)


def endless():
    """A header without an end; the server ends it."""
    for _ in range(COUNT):
        s = connect()
        try:
            s.sendall(b"GET / HTTP/1.1\r\nHost: a\r\n")
            for number in range(4000):
                s.sendall(b"X-%d: " % number + b"x" * 500 + b"\r\n")
                if select.select([s], [], [], 0)[0]:
                    break
        except OSError:
            pass
        until_closed(s)


def silent():
    """Asks for what is never answered, and gives up."""
    for _ in range(COUNT):
        s = connect()
        s.sendall(get("/never"))
        time.sleep(0.05)
        s.close()


def port_reuse():
    """Connection after connection from one port: each is reset, and the next one opens at once."""
    for _ in range(COUNT):
        s = connect(33333)
        for _ in range(3):
            s.sendall(get())
            answer(s)
        reset(s)


def websocket():
    """An upgrade, and what looks like HTTP behind it, both ways."""
    for _ in range(COUNT):
        s = connect()
        s.sendall(get())
        answer(s)
        s.sendall(get("/ws", more=UPGRADE))
        assert b" 101 " in answer(s)
        for _ in range(20):
            s.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n" + get() * 2)
            s.recv(65536)
        s.close()


def held():
    """A connection that was used before somebody says so, and is used again after."""
    s = connect()
    for _ in range(3):
        s.sendall(get())
        answer(s)
    # A response of which half is read.
    half = connect()
    half.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    half.sendall(get("/big"))
    half.recv(1000)
    print("open", flush=True)
    sys.stdin.readline()
    for _ in range(COUNT):
        s.sendall(get())
        answer(s)
    s.close()
    data = b""
    while not data.endswith(b"the end\n"):
        more = half.recv(65536)
        assert more
        data = data[-10:] + more
    half.sendall(get() * COUNT + get(last=True))
    until_closed(half)


globals()[WHAT]()
