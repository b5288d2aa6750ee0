"""The doctor: checks all that a sale depends on, and reports faults with advice.

A file for each thing that is examined, and `findings.py`, which runs the checks.
"""

from ops.doctor import (
    access_codes,
    clocks,
    configuration,
    contacts,
    files,
    mail_server,
    names,
    network_bounds,
    postgresql,
    processes,
    redis_servers,
    sales,
)
from ops.doctor.findings import Finding, Groups, State, examine

__all__ = ["GROUPS", "Finding", "State", "examine"]

GROUPS: Groups = {
    "settings": configuration.CHECKS,
    "files": files.CHECKS,
    "PostgreSQL": postgresql.CHECKS,
    "Redis": (redis_servers.check_gate_servers,),
    "broker": (redis_servers.check_broker,),
    "cache": (redis_servers.check_cache,),
    "channel layer": (redis_servers.check_channel_layer,),
    "clocks": (clocks.check_clocks,),
    "processes": processes.CHECKS,
    "sales": (
        *sales.CHECKS,
        network_bounds.check_network_bounds,
        access_codes.check_access_codes,
    ),
    "mail": mail_server.CHECKS,
    "names": names.CHECKS,
    "contacts": contacts.CHECKS,
}
