"""What mail keeps for a moment: who asked for the links of their orders."""

from django.db import models
from django.db.models.functions import Now


class FindRequest(models.Model):
    """Somebody asked for the links of an address' orders. It is kept whether there are any or not, so
    that the page answers both in the same time, and never with the address."""

    # The newest of the orders, whose contact has the address; None if there are none. No foreign key:
    # checking one would take time only if there are some.
    order = models.UUIDField(null=True, editable=False)
    language = models.CharField(max_length=10, editable=False)
    at = models.DateTimeField(auto_now_add=True, db_default=Now())

    def __str__(self) -> str:
        return f"request {self.pk}"
