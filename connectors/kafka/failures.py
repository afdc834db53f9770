"""What an exception of aiokafka means for a shard, and what to do about it: one table.

Whatever is raised while a shard starts, reads, sends or commits, its producer is thrown away first.
It is never aborted and never used again: aiokafka consumes the sequence number of a refused or
expired batch, so that every later batch to that partition fails, after an abort too. The class of
the error then says what to do next (see ``connectors.errors``).

Errors that aiokafka retries by itself without end (a leader or coordinator that moves or loads, too
few replicas, a transaction of the predecessor that is being settled, a node that is not ready)
never come out of it: only our time limits bound them.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from aiokafka.errors import (
    ClusterAuthorizationFailedError,
    GroupAuthorizationFailedError,
    IllegalOperation,
    InvalidProducerEpoch,
    InvalidProducerIdMapping,
    InvalidTimestampError,
    InvalidTxnState,
    KafkaConnectionError,
    KafkaError,
    KafkaTimeoutError,
    MessageSizeTooLargeError,
    OutOfOrderSequenceNumber,
    ProducerClosed,
    ProducerFenced,
    RecordListTooLargeError,
    TopicAuthorizationFailedError,
    TransactionalIdAuthorizationFailed,
    UnknownError,
    UnknownProducerId,
    UnknownTopicOrPartitionError,
)

from connectors.errors import (
    AccessError,
    ConnectorError,
    Fenced,
    RecordRefused,
    SetupError,
    ShardLost,
    Unreachable,
)


class Stage(StrEnum):
    """What the shard was doing."""

    START = "starting"
    READ = "reading coverage"
    SEND = "sending"
    COMMIT = "committing"


ANY: Final = frozenset(Stage)
START: Final = frozenset({Stage.START})
SEND: Final = frozenset({Stage.SEND})
COMMIT: Final = frozenset({Stage.COMMIT})


@dataclass(frozen=True)
class Row:
    """Exceptions raised in some stages: what they mean, and the error that says what to do."""

    raised: tuple[type[Exception], ...]
    stages: frozenset[Stage]
    meaning: str
    error: type[ConnectorError]


# The first row that fits holds. A class stands before those that it inherits from.
TABLE: Final = (
    Row(
        (ProducerFenced, InvalidProducerEpoch),
        ANY,
        "a successor has taken it over, or its own transaction timed out",
        Fenced,
    ),
    Row(
        (OutOfOrderSequenceNumber, UnknownProducerId, InvalidTxnState, InvalidProducerIdMapping),
        ANY,
        "its producer is unusable",
        ShardLost,
    ),
    Row(
        (InvalidTimestampError, MessageSizeTooLargeError, RecordListTooLargeError, UnknownError),
        SEND,
        "Kafka refuses a record for its size, its timestamp or its content",
        RecordRefused,
    ),
    Row(
        (
            TopicAuthorizationFailedError,
            TransactionalIdAuthorizationFailed,
            ClusterAuthorizationFailedError,
            GroupAuthorizationFailedError,
        ),
        ANY,
        "this user lacks a right, grant it",
        AccessError,
    ),
    Row(
        (UnknownTopicOrPartitionError,),
        ANY,
        "a topic does not exist, create it with candles topics",
        SetupError,
    ),
    Row((KafkaConnectionError,), START, "no broker lets it in", Unreachable),
    Row((KafkaTimeoutError,), SEND, "the buffer towards Kafka is full", ShardLost),
    Row((TimeoutError,), START, "Kafka did not answer in time", Unreachable),
    Row((TimeoutError,), SEND, "Kafka did not answer in time, nothing is committed", ShardLost),
    Row((TimeoutError,), COMMIT, "Kafka did not answer in time, coverage says whether", ShardLost),
    Row(
        (AssertionError, IllegalOperation, ProducerClosed),
        ANY,
        "its producer is in a final state",
        ShardLost,
    ),
    Row((KafkaError,), COMMIT, "its sender has died, coverage says what is true", ShardLost),
    Row((KafkaError,), ANY, "its sender has died or a leader has moved", ShardLost),
    Row((Exception,), ANY, "something unforeseen happened", ShardLost),
)


def row_of(error: BaseException, stage: Stage) -> Row:
    """The row of the table that ``error`` falls under."""
    for cause in _causes(error):
        row = _first(cause, stage)
        if row.error is AccessError:  # aiokafka hides it behind the death of its sender
            return row
    return _first(error, stage)


def _first(error: BaseException, stage: Stage) -> Row:
    return next(row for row in TABLE if isinstance(error, row.raised) and stage in row.stages)


def _causes(error: BaseException | None) -> Iterator[Exception]:
    while isinstance(error, Exception):
        yield error
        error = error.__cause__


def explain(error: Exception, stage: Stage, who: str) -> ConnectorError:
    """The error to raise in place of ``error``; one of ours stays what it is."""
    if isinstance(error, ConnectorError):
        return error
    row = row_of(error, stage)
    said = str(error) or type(error).__name__
    return row.error(f"{who}, while {stage}: {row.meaning} ({said})")
