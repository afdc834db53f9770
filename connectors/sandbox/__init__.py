"""Pretend exchanges on localhost, which speak each exchange's dialect and know the truth.

In reading order:

    grid        which open times exist
    listing     which pairs are listed
    tape        all the trades of a pair, as a pure function of its seed
    book        the trades as they came to pass: halted at times, reported late
    market      candles, read off the books
    dialect     the contract of a dialect: how one exchange speaks
    shared_…    pure: what several dialects do the same way
    clock       market time, faster than real time
    budget      pure: counted limits
    feed        pure: when a candle is pushed on a channel
    faults      pure: misbehaviours, and in faults_socket, faults_stream, faults_rest and
                faults_market the kinds there are
    orders      pure: how misbehaviours are ordered
    journal     what happened, and which limits were overstepped
    connection  one WebSocket connection
    site        one market: its requests, handshakes and connections
    control     the addresses below `/-/`: clock, truth, pairs, faults, journal
    server      everything on one port

and one module for each exchange family, found by being here. Nothing here imports an adapter:
the sandbox is an independent witness, written from protocol cards and recorded frames.
"""
