"""Measures a private shop beside what the machine allows: `manage.py bench`."""

PARTS = ("limits", "accept", "dashboard", "refuse", "pages", "wait", "sockets")
