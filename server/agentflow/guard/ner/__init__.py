"""A small named-entity model of our own: people, places, organisations, addresses, nationalities.

It promises one result for one text, whatever it is batched with, and cost linear in the text. It needs numpy,
so nothing here is imported by the gateway's own process: the deep tier's worker and the training do.
"""
