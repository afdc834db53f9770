"""Pure: where an exchange is reached: at its own addresses, at replaced ones, or in a sandbox."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import SplitResult, urlsplit

from connectors.errors import UsageError

_WEBSOCKET = ("ws", "wss")
_HTTP = ("http", "https")


@dataclass(frozen=True)
class Endpoints:
    """Replaces scheme and host of an exchange's addresses; the path stays what the exchange says.

    ``sandbox`` is the sandbox's ``http://host:port``, under which every market has a folder.
    ``replaced`` gives, for single exchanges, a WebSocket and an HTTP address of one's own (a
    testnet, a mirror, a proxy); a path in them is put before the exchange's.
    """

    sandbox: str | None = None
    replaced: Mapping[str, tuple[str, str]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.sandbox is not None:
            _checked(self.sandbox, _HTTP)
        for websocket, http in self.replaced.values():
            _checked(websocket, _WEBSOCKET)
            _checked(http, _HTTP)

    def url(self, exchange: str, url: str) -> str:
        """The address to use in place of the exchange's own ``url``."""
        told = urlsplit(url)
        place = self._place(exchange, told.scheme)
        if place is None or told.netloc == place.netloc:  # an address that the place itself told
            return url
        path = place.path.rstrip("/") + told.path
        return told._replace(scheme=place.scheme, netloc=place.netloc, path=path).geturl()

    def _place(self, exchange: str, scheme: str) -> SplitResult | None:
        if exchange in self.replaced:
            websocket, http = self.replaced[exchange]
            return urlsplit(websocket if scheme in _WEBSOCKET else http)
        return None if self.sandbox is None else _folder(urlsplit(self.sandbox), exchange, scheme)


def _folder(base: SplitResult, exchange: str, scheme: str) -> SplitResult:
    secure = base.scheme == "https"
    websocket = "wss" if secure else "ws"
    return base._replace(
        scheme=websocket if scheme in _WEBSOCKET else base.scheme,
        path=f"{base.path.rstrip('/')}/{exchange}",
    )


def _checked(url: str, schemes: tuple[str, ...]) -> None:
    try:
        parts = urlsplit(url)
        good = parts.scheme in schemes and parts.hostname and parts.port != 0
    except ValueError:  # a port that is no number, half an IPv6 address
        good = False
    if not good:
        raise UsageError(f"{url!r} is no address: write {' or '.join(schemes)}://host:port")
