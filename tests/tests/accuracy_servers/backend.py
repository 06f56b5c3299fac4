"""Behind the servers: what answers late, never, or in another protocol. `backend.py PORT`."""
import base64, hashlib, http.server, socketserver, sys, time


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    # Header and body are two writes; the second would wait for an acknowledgement.
    disable_nagle_algorithm = True

    def do_GET(self):
        words = self.path.split("?")[0].split("/")
        if words[1] == "never":
            time.sleep(600)
        if words[1] == "ws":
            # RFC 6455, section 4.2.2.
            key = self.headers["Sec-WebSocket-Key"] + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
            self.send_response(101)
            self.send_header("Upgrade", "websocket")
            self.send_header("Connection", "Upgrade")
            self.send_header("Sec-WebSocket-Accept", base64.b64encode(hashlib.sha1(key.encode()).digest()).decode())
            self.end_headers()
            self.close_connection = True
            # Whatever comes is answered by what looks like a response.
            while self.connection.recv(65536):
                self.wfile.write(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n")
            return
        if words[1] == "delay":
            time.sleep(int(words[2]) / 1000)
        self.send_response(200)
        self.send_header("Content-Length", "3")
        self.end_headers()
        self.wfile.write(b"ok\n")

    def log_message(self, *_):
        pass


class Server(socketserver.ThreadingMixIn, http.server.HTTPServer):
    daemon_threads = True
    request_queue_size = 64


Server(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
