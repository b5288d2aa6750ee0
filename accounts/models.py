"""Contacts: who a shopper is, apart from orders, so that they can be erased without touching these."""

from django.contrib.postgres.fields import ArrayField
from django.contrib.postgres.indexes import GinIndex
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


class Person(models.Model):
    """Somebody who has proven an e-mail address. Read and written by `accounts/people.py` alone."""

    # Keyed hashes: of the form that all spellings of the address share, and of the mailbox itself.
    email_key = models.CharField(max_length=64, unique=True, editable=False)
    address_key = models.CharField(max_length=64, editable=False)
    # The address as it was typed last, encrypted under SECRET_KEY, and the language of that page: who is
    # given a unit while away has been at no checkout yet, and is mailed there.
    sealed = models.TextField(blank=True, editable=False)
    language = models.CharField(max_length=10, blank=True, editable=False)
    since = models.DateTimeField(auto_now_add=True)

    def __str__(self) -> str:
        return f"person {self.pk}"


class KnownShopper(models.Model):
    """A shopper's id that is a person's: the present one, or one that a browser of theirs had before."""

    shopper = models.UUIDField(primary_key=True, editable=False)
    person = models.ForeignKey(Person, models.CASCADE, related_name="shoppers")
    current = models.BooleanField(editable=False)
    since = models.DateTimeField(auto_now_add=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["person"],
                condition=models.Q(current=True),
                name="person_has_one_present_id",
            )
        ]

    def __str__(self) -> str:
        return f"shopper {self.shopper}"


class SignInCode(models.Model):
    """A browser has asked for a code. The code itself is nowhere: `accounts/sign_in.py` computes it."""

    id = models.UUIDField(primary_key=True, editable=False)  # random; only the browser has it
    sealed = models.TextField(editable=False)  # the address
    language = models.CharField(max_length=10, editable=False)
    # The number of the key under which the code is computed: no other makes one for this request.
    key = models.BigIntegerField(editable=False)
    tries = models.PositiveSmallIntegerField(default=0, editable=False)
    expires_at = models.DateTimeField(editable=False)
    # When it is mailed, or mailed again after a fault. None: it was, or cannot be.
    due = models.DateTimeField(null=True, editable=False)

    class Meta:
        indexes = [
            models.Index(fields=["due"], condition=models.Q(due__isnull=False), name="code_due"),
            models.Index(fields=["expires_at"], name="code_expires"),
        ]

    def __str__(self) -> str:
        return "code"


class AccessCode(models.Model):
    """A code that opens sales. Staff hand it out, so it is kept as it is. Read and written by
    `accounts/access_codes.py` alone."""

    code = models.CharField(max_length=40, unique=True, editable=False)
    label = models.CharField(max_length=60, blank=True, editable=False)  # for whom it was made
    sales = ArrayField(
        models.PositiveBigIntegerField(), editable=False
    )  # by number: they lie above
    shoppers = models.PositiveIntegerField(editable=False)  # so many in each sale
    # When it opens its sales. None: when they open.
    opens_at = models.DateTimeField(null=True, editable=False)
    since = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["-id"]
        indexes = [GinIndex(fields=["sales"], name="code_of_sale")]

    def __str__(self) -> str:
        return self.code


class AccessCodeUse(models.Model):
    """A shopper who has typed a code for a sale."""

    code = models.ForeignKey(AccessCode, models.PROTECT, related_name="uses")
    sale = models.PositiveBigIntegerField(editable=False)
    shopper = models.UUIDField(editable=False)
    # By a person who has used the code with another id before: it does not count once more.
    again = models.BooleanField(default=False, editable=False)
    at = models.DateTimeField(auto_now_add=True)

    class Meta:
        constraints = [
            # Settlement looks uses up by sale and shopper.
            models.UniqueConstraint(fields=["sale", "shopper", "code"], name="one_use_of_a_code")
        ]

    def __str__(self) -> str:
        return f"{self.code_id} by {self.shopper}"
