"""The gate: a sale's state in Redis, in front of PostgreSQL, and the scripts that change it."""
