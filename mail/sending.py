"""Sends what the outbox has for shoppers."""


def send_mail() -> None:
    """Send the mails that are due, a bounded number at a time."""
