"""Candles from crypto exchanges into Kafka.

The modules in reading order; each imports only from those above it.

    errors       the tree of errors, named by what to do next
    model        interval, subscription, candle, instrument, grid of slots
    offset       pure: by how much an exchange's clock differs from ours, and which one bars follow
    clock        real time and market time, passed in, never asked for elsewhere
    tasks        waiting for an event, and ending tasks, both in bounded time
    telemetry    one small class per thing that happens: its log line and its count together
    adapter      the contract of an exchange adapter, as prose and types
    plain/       its plain base: what exchanges have in common, as data and small pieces
    exchanges/   one file per exchange family, found by being there
    conformance/ what every adapter must hold, checked on what exchanges really sent
    limits       pure: budgets of what an exchange allows, and back-off
    coverage     pure: which slots of a subscription are settled, which are missing
    session      pure: one WebSocket conversation
    comparison   pure: what two states of the same bar say about each other
    memory       pure: figures of the newest published candles, and which are to be read again
    inquiry      pure: what one ledger asks of REST, and when again
    rules        pure: the facts and times by which an interval's slots are decided
    slots        pure: what is decided of each slot: open, closed, repeated, revised, missing
    ledger       pure: one subscription's ledger: slots, and what REST is asked about them
    agenda       pure: what an exchange is asked over REST, and when
    market       pure: one exchange as a whole: checking wishes, packing them onto connections
    freshness    pure: whether a stream moves as it should, and what to do when it does not
    listing      pure: which of the carried pairs are traded, by one list after another
    records      what the topics carry, as types
    schema       the Avro schemas, framing, fingerprints                    (schemas/*.avsc)
    codec        pure: what the topics carry <-> bytes
    endpoints    where an exchange is reached: its own addresses, replaced ones, a sandbox
    registry     thin skin over a schema registry
    websocket    thin skin over websockets, around session
    rest         thin skin over aiohttp, around agenda
    kafka/       thin skin over aiokafka: shards, live updates, topics, reading
    values       reading the values of topics, whichever schema wrote them
    closed       reading closed candles back: those of wanted slots
    dead_letters what cannot be read: a sample, with its bytes
    flow         the way of a candle: source -> parse -> settle -> encode -> publish
    reconciliation  what lies in closed topics must be what coverage speaks of
    writer       a shard's closed candles and coverage, in transactions
    recall       reading published candles back for ledgers that ask for them
    line         one connection kept alive: made again, replaced before it must end
    carrier      one exchange's lines and REST requests, as tasks
    instruments  one exchange's list of instruments: had before all else, and read again later
    plan         pure: what a wish list needs of an exchange, and what cannot fit
    worker       checks, runs and drains a set of subscriptions
    sandbox/     pretend exchanges, a local Kafka; never imports exchanges/
    settings     every setting once, with its help text
    commands/    what the commands do: exchanges, plan, tail, coverage, audit, demo
    cli          the only place that knows all of the above
"""

__version__ = "0.1.0"
