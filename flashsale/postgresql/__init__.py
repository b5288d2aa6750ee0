"""The database backend of the settings: Django's for PostgreSQL, as `base.py` extends it."""
