"""The door for other machines: TLS (RFC 8446) with a certificate of the client's, without which nobody gets in.

Each connection has a thread that carries its bytes between TLS and one end of a socket pair; the other end is served
like a client's unix socket, and handed to a shim like one. So no other part of the engine knows of TLS, and a client
that reads slowly fills its own buffers alone. Such streams end with the daemon.
"""

from __future__ import annotations

import hashlib
import select
import socket
import ssl
import sys
import threading
import time
from pathlib import Path
from typing import Any, NamedTuple

from engine.api.doors import BACKLOG, Serve, stop_listening
from engine.domain.errors import InvalidArgument

HANDSHAKE_S = 15.0
HANDSHAKES = 64
"""So many strangers at once; who comes beyond that is cut off."""
FLUSH_S = 300.0
"""How long what the engine said last may lie unread once it has hung up."""
CHUNK_BYTES = 65536
KEEPALIVE_S = 60

_SHORT_NAMES = {
    "commonName": "CN", "organizationName": "O", "organizationalUnitName": "OU", "countryName": "C",
    "stateOrProvinceName": "ST", "localityName": "L", "domainComponent": "DC", "userId": "UID",
}  # fmt: skip


class Certificates(NamedTuple):
    """PEM files: the authority of the clients' certificates, the engine's own certificate and its key."""

    ca: Path
    cert: Path
    key: Path

    def context(self) -> ssl.SSLContext:
        """Raises InvalidArgument for files that can't be used."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.verify_mode = ssl.CERT_REQUIRED
        at: Path = self.ca
        try:
            context.load_verify_locations(self.ca)
            at = self.cert
            context.load_cert_chain(self.cert, self.key, password=lambda: b"")
        except (OSError, ssl.SSLError, ValueError) as error:
            missing = [path for path in self if not path.exists()]
            why = f"{missing[0]}: no such file" if missing else f"{at}: {getattr(error, 'reason', None) or error}"
            raise InvalidArgument(f"TLS: {why}") from error
        return context

    def stamps(self) -> tuple[tuple[int, int, int] | None, ...]:
        """What tells that a file has been replaced or rewritten."""
        return tuple(map(_stamp, self))


def _stamp(path: Path) -> tuple[int, int, int] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_ino, found.st_mtime_ns, found.st_size


class Keys:
    """The certificates as the files have them: new ones count from the next connection on. Files that can't be used,
    or not yet, are told of once, and the former ones go on counting."""

    def __init__(self, certificates: Certificates) -> None:
        """Raises InvalidArgument."""
        self._certificates = certificates
        self._guard = threading.Lock()
        self._stamps = certificates.stamps()
        self._context = certificates.context()

    def current(self) -> ssl.SSLContext:
        """For one more connection."""
        with self._guard:
            if (stamps := self._certificates.stamps()) != self._stamps:
                self._stamps = stamps
                try:
                    self._context = self._certificates.context()
                    print("api: TLS: certificates were read anew", file=sys.stderr, flush=True)
                except InvalidArgument as error:
                    print(f"api: {error}: the former certificates stay in use", file=sys.stderr, flush=True)
            return self._context


class TLSDoor:
    """A TCP socket at ``node`` ("" for every address of the machine) and ``port``."""

    def __init__(self, node: str, port: int, keys: Keys) -> None:
        """Raises OSError."""
        self._keys = keys
        family = socket.AF_INET6 if ":" in node or (not node and socket.has_dualstack_ipv6()) else socket.AF_INET
        self.listener = socket.create_server(
            (node, port), family=family, backlog=BACKLOG, dualstack_ipv6=family == socket.AF_INET6 and not node
        )
        self._strangers = threading.BoundedSemaphore(HANDSHAKES)

    def __str__(self) -> str:
        node, port = self.listener.getsockname()[:2]
        return f"tcp://{f'[{node}]' if ':' in node else node}:{port}"

    def admit(self, sock: socket.socket, serve: Serve) -> None:
        if not self._strangers.acquire(blocking=False):
            sock.close()
            return
        thread = threading.Thread(target=self._carry, args=(sock, serve), name="api-tls", daemon=True)
        try:
            thread.start()
        except BaseException:
            self._strangers.release()
            raise

    def _carry(self, sock: socket.socket, serve: Serve) -> None:
        with sock:
            peer = ""
            try:
                peer = _peer_of(sock)
                bridge = Bridge(sock, self._keys.current())
                try:
                    bridge.shake_hands()
                finally:
                    self._strangers.release()
                actor = identify(bridge.tls, sock)
                ours, theirs = socket.socketpair()
                with ours:
                    serve(theirs, actor)
                    bridge.run(ours)
            except OSError as error:  # TimeoutError and ssl.SSLError are
                if isinstance(error, ssl.SSLCertVerificationError) or getattr(error, "reason", "") == _NONE_SHOWN:
                    print(f"api: {peer} is refused at {self}: {_why(error)}", file=sys.stderr)

    def close(self) -> None:
        stop_listening(self.listener)


_NONE_SHOWN = "PEER_DID_NOT_RETURN_A_CERTIFICATE"


def _why(error: OSError) -> str:
    return getattr(error, "verify_message", "") or "it has shown no certificate"


def identify(tls: ssl.SSLObject, sock: socket.socket) -> dict[str, Any]:
    """The actor's facts: the certificate's subject (RFC 4514), its SHA-256, and the address it came from."""
    certificate, body = tls.getpeercert() or {}, tls.getpeercert(binary_form=True) or b""
    return {
        "subject": subject_of(certificate.get("subject", ())),
        "fingerprint": "sha256:" + hashlib.sha256(body).hexdigest(),
        "address": _peer_of(sock),
    }


def _peer_of(sock: socket.socket) -> str:
    node, port = sock.getpeername()[:2]
    node = node.removeprefix("::ffff:")
    return f"[{node}]:{port}" if ":" in node else f"{node}:{port}"


def subject_of(names: Any) -> str:
    """A certificate's subject as RFC 4514 writes it, the last part first."""
    parts = ["+".join(f"{_SHORT_NAMES.get(kind, kind)}={_escaped(value)}" for kind, value in part) for part in names]
    return ",".join(reversed(parts))


def _escaped(value: str) -> str:
    text = "".join(f"\\{mark}" if mark in ',+"\\<>;=' else mark for mark in value)
    return f"\\{text}" if text[:1] in ("#", " ") else text


class Bridge:
    """The bytes of one connection, both ways, none of which waits for the other. ``tls`` is known after shake_hands."""

    def __init__(self, sock: socket.socket, context: ssl.SSLContext) -> None:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, KEEPALIVE_S)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._sock = sock
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.tls = context.wrap_bio(self._incoming, self._outgoing, server_side=True)
        self._to_client = b""
        self._to_engine = b""
        self._client_ended = self._engine_ended = False

    def shake_hands(self) -> None:
        """Raises OSError where the client can't or may not come in, TimeoutError where it takes too long."""
        deadline = time.monotonic() + HANDSHAKE_S
        while True:
            self._sock.settimeout(max(deadline - time.monotonic(), 0.001))
            try:
                self.tls.do_handshake()
                self._sock.sendall(self._outgoing.read())
                return
            except ssl.SSLWantReadError:
                self._sock.sendall(self._outgoing.read())
                data = self._sock.recv(CHUNK_BYTES)
                if not data:
                    raise ConnectionResetError("hung up during the handshake") from None
                self._incoming.write(data)
            except ssl.SSLError:
                self._sock.sendall(self._outgoing.read())  # the alert that says why
                raise

    def run(self, engine: socket.socket) -> None:
        """Carry until both sides have ended. Raises OSError where the client breaks off."""
        self._sock.setblocking(False)
        engine.setblocking(False)
        self._decrypt()  # what came with the end of the handshake
        poll, deadline, hung_up = select.poll(), None, False
        while not self._is_done(hung_up):
            self._watch(poll, engine, hung_up)
            ready = dict(poll.poll(None if deadline is None else max(deadline - time.monotonic(), 0) * 1000))
            if deadline is not None and time.monotonic() >= deadline:
                return
            at_client, at_engine = ready.get(self._sock.fileno(), 0), ready.get(engine.fileno(), 0)
            if at_client & select.POLLIN:
                self._from_client()
            elif at_client & (select.POLLHUP | select.POLLERR):
                return  # it is gone altogether
            if at_engine & select.POLLIN:
                self._from_engine(engine)
            elif at_engine & (select.POLLHUP | select.POLLERR):
                self._end_engine()
                hung_up, deadline = True, time.monotonic() + FLUSH_S
            if not hung_up:
                self._push_engine(engine)
            self._push_client()

    def _is_done(self, hung_up: bool) -> bool:
        """The engine has said all it will, it is sent, and it reads no more (or there is no more to read)."""
        return self._engine_ended and not self._to_client and (hung_up or (self._client_ended and not self._to_engine))

    def _watch(self, poll: select.poll, engine: socket.socket, hung_up: bool) -> None:
        """Each side is read while the other takes what it says. poll(2) tells of a side's end unasked, so a side that
        must not be read yet, or has ended, is not watched at all."""
        reads = not self._client_ended and not self._to_engine and not hung_up
        poll.register(self._sock, (select.POLLIN if reads else 0) | (select.POLLOUT if self._to_client else 0))
        if hung_up or len(self._to_client) >= CHUNK_BYTES:
            _forget(poll, engine)
        else:
            reads = not self._engine_ended
            poll.register(engine, (select.POLLIN if reads else 0) | (select.POLLOUT if self._to_engine else 0))

    def _from_client(self) -> None:
        try:
            data = self._sock.recv(CHUNK_BYTES)
        except BlockingIOError:
            return
        self._incoming.write(data) if data else self._incoming.write_eof()
        self._decrypt()

    def _decrypt(self) -> None:
        try:
            while data := self.tls.read(CHUNK_BYTES):
                self._to_engine += data
            self._client_ended = True
        except ssl.SSLWantReadError:
            return
        except (ssl.SSLZeroReturnError, ssl.SSLEOFError):
            self._client_ended = True

    def _push_engine(self, engine: socket.socket) -> None:
        try:
            while self._to_engine:
                self._to_engine = self._to_engine[engine.send(self._to_engine) :]
            if self._client_ended:
                engine.shutdown(socket.SHUT_WR)
        except BlockingIOError:
            return
        except OSError:  # nobody reads there any more; what it has said is still to be sent
            self._to_engine = b""

    def _from_engine(self, engine: socket.socket) -> None:
        try:
            data = engine.recv(CHUNK_BYTES)
        except BlockingIOError:
            return
        except ConnectionResetError:
            data = b""
        if data:
            self.tls.write(data)
        else:
            self._end_engine()
        self._to_client += self._outgoing.read()

    def _end_engine(self) -> None:
        if self._engine_ended:
            return
        self._engine_ended = True
        try:
            self.tls.unwrap()
        except ssl.SSLError:
            pass  # it waits for the client's own end, which comes when it comes
        self._to_client += self._outgoing.read()

    def _push_client(self) -> None:
        self._to_client += self._outgoing.read()
        try:
            while self._to_client:
                self._to_client = self._to_client[self._sock.send(self._to_client) :]
        except BlockingIOError:
            return


def _forget(poll: select.poll, sock: socket.socket) -> None:
    try:
        poll.unregister(sock)
    except KeyError:
        return
