"""What every exchange adapter must hold, and the checks that it does.

items       recorded items: what an exchange sent, and what a correct parser makes of it
advice      how a check ends early: with a failure that says what to do, or not applicable
messages    compares what an adapter would send with what was recorded
pairs       of which trading pairs an item tells
contract    checks of an adapter class, none of which needs an item of its own
wire        checks of what an adapter makes of one item
exceptions  what cannot hold, each with its reason
suite       all of them, by name, and their outcomes
finding     the adapter classes that somebody means: by name, module, class, or entry point

Each check is a function that returns where the adapter holds; ``suite.cases`` lists them. The
tests of this project run them on its own adapters, ``candles conformance`` on anybody's.
"""
