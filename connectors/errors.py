"""Every error of the product, named by what to do next. A message is one sentence for a person.

ConnectorError
├── UsageError        the call or a setting is wrong: correct it            (exit status 2)
├── SetupError        the machine or the cluster lacks something: provide it
├── AccessError       credentials, certificate or rights are wrong: correct them; never retried
├── Unreachable       nothing answers: wait, then try again
├── Blocked           the exchange will not serve this address: do not hammer
├── SlowDown          a limit was met: wait ``retry_after`` seconds, then go on
├── BadFrame          a message cannot be read: keep its bytes, go on with the next
├── RecordRefused     Kafka refuses one record for what it is: quarantine its subscription
├── ShardLost         the transaction or its producer is void: take the shard over again
└── Fenced            somebody else has taken the shard over: let it go
"""

from __future__ import annotations


class ConnectorError(Exception):
    """The root: anything that the product says has gone wrong."""

    exit_status = 1


class UsageError(ConnectorError):
    """The call or a setting is wrong; the message says what would be right."""

    exit_status = 2


class SetupError(ConnectorError):
    """The machine or the cluster lacks something; the message says how to provide it."""


class AccessError(ConnectorError):
    """Credentials, certificate or rights are wrong; trying again cannot help."""


class Unreachable(ConnectorError):  # noqa: N818 - a state of the world, not a mistake
    """Nothing answers at an address; trying again later may help."""


class Blocked(ConnectorError):  # noqa: N818 - a decision of the exchange
    """The exchange refuses this address (HTTP 451, a geographic 403): do not hammer."""


class SlowDown(ConnectorError):  # noqa: N818 - a request of the exchange
    """A limit was met: go on after ``retry_after`` seconds of real time."""

    def __init__(self, message: str, retry_after: float) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class BadFrame(ConnectorError):  # noqa: N818 - the frame is bad, the connector is not
    """A message that cannot be read; the connection lives on."""


class RecordRefused(ConnectorError):  # noqa: N818 - Kafka's answer
    """Kafka refuses a record for its size or time; its subscription is quarantined."""


class ShardLost(ConnectorError):  # noqa: N818 - a state of the world
    """A transaction or its producer is void; coverage says what is true."""


class Fenced(ConnectorError):  # noqa: N818 - a state of the world
    """A successor has taken the shard over; this one must let go."""
