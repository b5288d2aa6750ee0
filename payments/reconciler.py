"""The reconciler: asks providers about payments whose end is not known."""


def reconcile_payments() -> None:
    """Ask about payments that are due, a bounded number at a time."""
