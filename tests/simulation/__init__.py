"""A deterministic simulation of all that decides about candles: virtual time, seeded faults.

``market`` makes up the truth and pretends to be an exchange, ``log`` pretends to be Kafka and
holds the independent oracle, ``world`` drives ledgers and agenda through both. Nothing here
imports the ledger's reasoning: what was committed is compared with the truth, slot by slot.
"""
