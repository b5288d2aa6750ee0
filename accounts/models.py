"""Contacts: who a shopper is, apart from orders, so that they can be erased without touching these."""

from django.db import models


class Contact(models.Model):
    """The contact of one order, as it was given at its checkout. Read and written by
    `accounts/contacts.py` alone."""

    # The purchase id. No foreign key: orders lie above, and an erased contact leaves the order.
    order = models.UUIDField(primary_key=True, editable=False)
    sale = models.PositiveBigIntegerField(editable=False)  # for its retention
    # A keyed hash of the e-mail address in canonical form, to find a person's orders; "" without one.
    email_key = models.CharField(max_length=64, blank=True, editable=False)
    # The details as JSON; encrypted if settings.CONTACT_KEYS has a key; "" once erased.
    sealed = models.TextField(blank=True, editable=False)
    language = models.CharField(max_length=10, editable=False)
    terms_accepted_at = models.DateTimeField(null=True, editable=False)
    created_at = models.DateTimeField(auto_now_add=True)
    changed_at = models.DateTimeField(auto_now=True)
    erased_at = models.DateTimeField(null=True, editable=False)

    class Meta:
        indexes = [
            models.Index(fields=["email_key"], name="contact_of_email"),
            models.Index(fields=["sale"], name="contact_of_sale"),
        ]

    def __str__(self) -> str:
        return f"contact of {self.order}"
