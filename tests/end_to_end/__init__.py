"""The whole way of a candle: a real sandbox server, a real connector, a real Kafka.

What is found in Kafka is read by librdkafka, decoded by fastavro with nothing but the schema's
file, and compared with what the sandbox calls the truth: see ``truth``.
"""
