"""The names of Celery's queues and tasks, and the command lines of worker and beat.

Settings import this module, so it does not import Django. `tests/deploy/` compares it with the files that
cannot import it (containers, systemd, Kubernetes).
"""

SETTLEMENT = "settlement"
HOUSEKEEPING = "housekeeping"
ALL = f"{SETTLEMENT},{HOUSEKEEPING}"

SETTLE = "orders.tasks.settle"
FINISH_SALES = "orders.tasks.finish_sales"
CLEAR_SESSIONS = "orders.tasks.clear_sessions"
REMOVE_PICTURES = "orders.tasks.remove_unused_pictures"
ERASE_CONTACTS = "payments.tasks.erase_contacts"
REMOVE_OLD_NEWS = "payments.tasks.remove_old_news"

# Command lines are arguments of Python.
CELERY = ("-m", "celery", "--quiet", "--app", "flashsale")
WORKER = (
    *CELERY,
    "worker",
    *("--pool", "threads", "--concurrency", "4", "--queues", ALL),
    *("--without-gossip", "--without-mingle", "--without-heartbeat", "--loglevel", "WARNING"),
)
_BEAT = (*CELERY, "beat", "--loglevel", "WARNING")


def beat(schedule: str) -> tuple[str, ...]:
    """Beat's command line. `schedule` is the path of the file in which it stores its last runs."""
    return (*_BEAT, "--schedule", schedule, "--pidfile", "")
