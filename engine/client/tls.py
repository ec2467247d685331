"""TLS to an engine (RFC 8446): certificates, and a socket that does what a connection asks of a plain one.

The handshake, the records and a half-close (close_notify) run through memory, so that nothing is sent or waited for
but where the caller allows it. ``ssl`` costs 30 ms at start: only who speaks TLS imports this module's insides.
"""

from __future__ import annotations

import os
from _socket import MSG_PEEK
from _socket import socket as Socket

from engine.client.errors import ClientError

TYPE_CHECKING = False
if TYPE_CHECKING:
    import ssl

_RECEIVE_BYTES = 65536
_RECORD_BYTES = 16384


class TLSFiles:
    """Paths of PEM files: the authorities that the engine's certificate must come from ("": the system's), this
    client's certificate and its key ("": none). ``verify`` false believes any engine."""

    __slots__ = ("ca", "cert", "key", "verify")

    def __init__(self, ca: str = "", cert: str = "", key: str = "", *, verify: bool = True) -> None:
        self.ca = ca
        self.cert = cert
        self.key = key
        self.verify = verify

    def context(self) -> ssl.SSLContext:
        """Raises ClientError for files that can't be used."""
        import ssl

        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        at = self.ca
        try:
            if not self.verify:
                context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
            elif self.ca:
                context.load_verify_locations(self.ca)
            else:
                context.load_default_certs()
            if self.cert or self.key:
                at = self.cert
                context.load_cert_chain(self.cert, self.key)
        except (OSError, ssl.SSLError) as error:
            missing = [path for path in (self.ca, self.cert, self.key) if path and not os.path.exists(path)]
            why = f"{missing[0]}: no such file" if missing else f"{at}: {getattr(error, 'reason', None) or error}"
            raise ClientError(f"TLS: {why}") from error
        return context


class TLSSocket:
    """A connected socket under TLS. ``recv``, ``send`` and ``sendall`` take flags and raise as a socket's do."""

    def __init__(self, raw: Socket, files: TLSFiles, node: str) -> None:
        """The handshake. Raises ClientError where one side doesn't accept the other, OSError."""
        import ssl

        self._raw = raw
        self._ssl = ssl
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._unsent = b""
        self._accepted = 0
        self._plain = bytearray()
        self._ended = False
        self._tls = files.context().wrap_bio(self._incoming, self._outgoing, server_hostname=node)
        self._node = node
        self._shake_hands()

    def _shake_hands(self) -> None:
        while True:
            try:
                self._tls.do_handshake()
                self._flush()
                return
            except self._ssl.SSLWantReadError:
                self._flush()
                if not self._feed(0):
                    raise ClientError(f"{self._node} hung up during the TLS handshake") from None
            except self._ssl.SSLError as error:
                raise ClientError(self._reason(error)) from error

    def _reason(self, error: ssl.SSLError) -> str:
        why = getattr(error, "verify_message", "") or (error.reason or str(error)).replace("_", " ").lower()
        if "http request" in why or "wrong version" in why or "record layer" in why:
            why = "what answers there doesn't speak TLS"
        elif "alert" in why or "certificate required" in why:
            why = f"the engine refuses this client ({why}): give it a certificate by --tlscert and --tlskey"
        return f"TLS with {self._node}: {why}"

    def _feed(self, flags: int) -> bool:
        """Take what has arrived; False at the end of the stream."""
        data = self._raw.recv(_RECEIVE_BYTES, flags)
        self._incoming.write(data) if data else self._incoming.write_eof()
        return bool(data)

    def _decrypt(self) -> None:
        try:
            while data := self._tls.read(_RECEIVE_BYTES):
                self._plain += data
            self._ended = True
        except self._ssl.SSLWantReadError:
            return
        except (self._ssl.SSLZeroReturnError, self._ssl.SSLEOFError):
            self._ended = True
        except self._ssl.SSLError as error:
            raise ClientError(self._reason(error)) from error

    def recv(self, limit: int, flags: int = 0) -> bytes:
        """Empty at the end of what the engine sends. Raises ClientError where it refuses us (TLS 1.3 says it late)."""
        if flags & MSG_PEEK and not self._plain:
            return self._raw.recv(limit, flags)
        while not self._plain and not self._ended:
            self._feed(flags)
            self._decrypt()
        data = bytes(self._plain[:limit])
        if not flags & MSG_PEEK:
            del self._plain[:limit]
        return data

    @property
    def pending(self) -> bool:
        """Whether ``recv`` answers without waiting."""
        return bool(self._plain)

    def send(self, data: bytes, flags: int = 0) -> int:
        """As many bytes as were sent. After BlockingIOError the same bytes must come again, as with OpenSSL."""
        if not self._accepted:
            self._accepted = self._tls.write(data[:_RECORD_BYTES])
        self._flush(flags)
        count, self._accepted = self._accepted, 0
        return count

    def sendall(self, data: bytes) -> None:
        sent = 0
        while sent < len(data):
            sent += self.send(data[sent : sent + _RECORD_BYTES])

    def _flush(self, flags: int = 0) -> None:
        self._unsent += self._outgoing.read()
        while self._unsent:
            self._unsent = self._unsent[self._raw.send(self._unsent, flags) :]

    def shutdown(self, how: int) -> None:
        """The end of what we send; what the engine sends goes on."""
        try:
            self._tls.unwrap()
        except self._ssl.SSLError:
            pass  # it wants to read the other side's end, which comes when it comes
        self._flush()

    def fileno(self) -> int:
        return self._raw.fileno()

    def close(self) -> None:
        self._raw.close()
