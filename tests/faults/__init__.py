"""The campaign of faults: a real Kafka, a real `candles run`, and everything that can go wrong.

``make faults`` runs every kind of fault, ``make test`` a few of them. One run goes on under one
prefix through all rounds, and is started again where a round has killed it. A round is a fault for
some seconds, then quiet time, then the comparison of what librdkafka reads (read_committed) with
the sandbox's truth, from the first bar of the campaign on: a finding counts for the round in which
it is seen first. `kinds` says what goes wrong, `campaign` plays, `judgement` compares.
"""
