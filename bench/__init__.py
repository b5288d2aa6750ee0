"""Measures a private shop on this machine, beside the machine's limits: `manage.py bench`."""
