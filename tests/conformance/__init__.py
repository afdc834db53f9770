"""The conformance suite on our own adapters, and the tests of the suite itself.

The checks are ``connectors.conformance``. ``test_conformance`` runs them for every adapter and item
of ``tests/wire/``; what cannot hold is listed with its reason in ``exceptions.toml``.
``test_checks_can_fail`` breaks a toy adapter for each of them.
"""
