"""The conformance suite: what every exchange adapter must hold.

``contract`` checks an adapter class against the contract, ``wire`` checks it against one recorded
item; both are plain functions that raise AssertionError with advice. ``test_conformance`` runs
them for every adapter and item that it finds, ``test_checks_can_fail`` breaks a toy adapter for
each of them. What cannot hold is listed with its reason in ``exceptions.toml``.
"""
