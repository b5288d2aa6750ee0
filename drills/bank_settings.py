"""Settings of a drill's own shop, whose payments are at the drill's bank."""

from flashsale.settings import *  # noqa: F403  # these are the shop's, with one app in place of another
from flashsale.settings import INSTALLED_APPS as _SHOP

PAYMENT_PROVIDERS = ["demo"]
INSTALLED_APPS = [app if app != "drills" else "drills.bank_apps.BankConfig" for app in _SHOP]
