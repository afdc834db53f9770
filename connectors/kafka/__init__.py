"""Kafka, as thin a skin over aiokafka as its defects allow. Every file here is one idea:

* ``cluster``   where Kafka is, how to log in, and in one sentence why it cannot be reached
* ``bounded``   no call of aiokafka is awaited without a limit, no ended client leaves anything
* ``failures``  the table: what an exception of aiokafka means and what to do about it
* ``batches``   a record, what makes Kafka refuse it, and packing records into batches
* ``reader``    reading committed records up to the high watermark, and on
* ``shard``     closed candles and coverage, exactly once: one transactional id, life after life
* ``outbox``    pure: what waits to be sent, newest first when it is too much
* ``live``      open updates: in batches, on a common tick, never in the caller's way
* ``topics``    which topics there are, with which settings; creating and checking them
* ``quiet``     aiokafka's loggers, a few lines at a time

Writing rules (each stands for a defect that was seen): a transactional producer lives until its
first exception; a transaction is committed only after each of its records was acknowledged; only
a commit that returned counts; a shard is read to the high watermark taken after initialising.
"""

from connectors.kafka.batches import Record, refusal
from connectors.kafka.cluster import Cluster, probe
from connectors.kafka.live import LivePublisher
from connectors.kafka.outbox import Outbox
from connectors.kafka.quiet import quieten
from connectors.kafka.reader import Stored, offsets_since, read_topic, watermarks
from connectors.kafka.shard import Limits, Shard
from connectors.kafka.topics import TopicPlan, TopicSpec, ensure, missing

__all__ = [
    "Cluster",
    "Limits",
    "LivePublisher",
    "Outbox",
    "Record",
    "Shard",
    "Stored",
    "TopicPlan",
    "TopicSpec",
    "ensure",
    "missing",
    "offsets_since",
    "probe",
    "quieten",
    "read_topic",
    "refusal",
    "watermarks",
]
