"""The gate: the sale's replica in Redis, in front of PostgreSQL, and the scripts that change it.

Only scripts and Redis here: no rules of selling, no database. Web processes use `admission`,
workers and commands use `replica`; the other files are shapes that both share.
"""
