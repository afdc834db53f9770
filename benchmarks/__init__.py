"""What a message costs, from the exchange's frame to the acknowledged record. ``make bench``.

    load       the messages: each a pure function of its number, in the shape of a recorded frame
    server     a pretend exchange that writes them as fast as they are read (a process)
    ours       the real worker under this load (a process; ``contender`` starts it, too)
    floor      the same libraries with no framework between them (a process)
    contest    one run of either: start, go, CPU until the last record is visible, end
    reader     an independent reader: every record is read back and held against the load
    stages     what each part costs, measured one by one in one process
    report     the table, and what was measured on

Two things are compared only within one run, in which they take turns: machines are noisy.
"""
