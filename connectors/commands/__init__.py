"""What the program's commands do, one file each, and what several of them share.

program     the shell around a command: one sentence per failure, exit status, signals
tables      figures for people: columns, times, plain numbers
listing     candles exchanges
plan        candles plan
tail        candles tail
demo        candles demo
kept        coverage and closed candles, read from Kafka as somebody from outside
inventory   pure: what coverage says, summed up
coverage    candles coverage
history     an exchange's closed candles of a range, over REST, within a small budget
audit       pure: what lies in Kafka compared with what REST says
auditor     reads both sides of an audit
auditing    candles audit
conformance candles conformance
check       pure: what was seen of an exchange, held against its adapter
recorder    frames and replies as items
overhearing what goes in and out of one connection
checker     looks at an exchange for a short while
checking    candles check
"""
