# SPDX-License-Identifier: Apache-2.0
"""A TCP proxy that can cut, refuse, freeze and delay: the network's faults, without touching the machine's network."""
import contextlib
import socket
import struct
import threading
import time


def reset(sock):
    """Closes with RST."""
    with contextlib.suppress(OSError):
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack('ii', 1, 0))
    sock.close()


class Proxy:
    def __init__(self, target):
        self.target = target  # (host, port) or a UNIX socket's path
        self.listener = socket.create_server(('127.0.0.1', 0), backlog=256)
        self.port = self.listener.getsockname()[1]
        self.flowing = threading.Event()
        self.flowing.set()
        self.refusing = False
        self.delay = 0
        self.pairs = set()
        self.lock = threading.Lock()
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            try:
                client, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self.join, args=(client,), daemon=True).start()

    def join(self, client):
        if self.refusing:
            reset(client)
            return
        try:
            if isinstance(self.target, str):
                server = socket.socket(socket.AF_UNIX)
                server.connect(self.target)
            else:
                server = socket.create_connection(self.target, timeout=5)
                server.settimeout(None)
        except OSError:
            reset(client)
            return
        with self.lock:
            self.pairs.add((client, server))
        threading.Thread(target=self.pump, args=(client, server), daemon=True).start()
        self.pump(server, client)

    def pump(self, source, sink):
        with contextlib.suppress(OSError):
            while True:
                data = source.recv(65536)
                self.flowing.wait()
                if self.delay:
                    time.sleep(self.delay)
                if not data:
                    sink.shutdown(socket.SHUT_WR)
                    return
                sink.sendall(data)

    def freeze(self):
        """Nothing passes any more, nothing is closed."""
        self.flowing.clear()

    def thaw(self):
        self.flowing.set()

    def cut(self, refuse=True):
        """Resets all connections; with refuse also those to come."""
        self.refusing = refuse
        with self.lock:
            pairs, self.pairs = self.pairs, set()
        for client, server in pairs:
            with contextlib.suppress(OSError):
                client.shutdown(socket.SHUT_RDWR)
            with contextlib.suppress(OSError):
                server.shutdown(socket.SHUT_RDWR)
            reset(client)
            reset(server)

    def mend(self):
        self.refusing = False
        self.thaw()

    def close(self):
        self.listener.close()
        self.cut()
        self.thaw()
