"""A deterministic simulation of all that decides about candles: virtual time, seeded faults.

A seed gives a ``plan``: subscriptions, and what goes wrong when. ``world`` lives through it with
three parties: the ``exchange`` (``market`` makes up the truth that it tells), the ``worker`` around
real ledgers and a real agenda, and the ``log``, which pretends to be Kafka. ``verdict`` compares
what was committed with the truth, slot by slot; nothing there knows the ledger's reasoning. A plan
that goes wrong is made as small as it can be (``shrink``) and told as a ``story``; a ``campaign``
is many runs.
"""
