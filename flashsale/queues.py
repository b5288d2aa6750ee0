"""Celery's queues, the tasks that the code names, and the command lines of worker and beat.

Settings import this module, so it knows nothing of Django. Files that cannot import it (containers,
systemd, Kubernetes) are compared with it by `tests/deploy/`.
"""

SETTLEMENT = "settlement"
HOUSEKEEPING = "housekeeping"
ALL = f"{SETTLEMENT},{HOUSEKEEPING}"

SETTLE = "orders.tasks.settle"
FINISH_SALES = "orders.tasks.finish_sales"
CLEAR_SESSIONS = "orders.tasks.clear_sessions"

# Arguments of Python.
CELERY = ("-m", "celery", "--quiet", "--app", "flashsale")
WORKER = (
    *CELERY,
    "worker",
    *("--pool", "threads", "--concurrency", "4", "--queues", ALL),
    *("--without-gossip", "--without-mingle", "--without-heartbeat", "--loglevel", "WARNING"),
)
_BEAT = (*CELERY, "beat", "--loglevel", "WARNING")


def beat(schedule: str) -> tuple[str, ...]:
    """Beat's, with the file in which it keeps when it did what."""
    return (*_BEAT, "--schedule", schedule, "--pidfile", "")
