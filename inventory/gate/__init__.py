"""The gate: the sale's replica in Redis, in front of PostgreSQL, and the scripts that change it.

The rules by which a click is accepted are in `inventory/lua/admit.lua`; the modules here have
types, keys and calls of scripts. None uses the database. Web processes use `admission`, workers and
commands use `replica`; both share the others.
"""
