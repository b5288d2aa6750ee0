"""Django's own pages of users and groups, on the base of the shop's others."""

from django.contrib import admin
from django.contrib.auth import admin as auth_admin
from django.contrib.auth.models import Group, User

from dashboard.admin.odd_requests import CarefulAdmin

admin.site.unregister([User, Group])


@admin.register(User)
class UserAdmin(CarefulAdmin, auth_admin.UserAdmin):  # type: ignore[type-arg]  # Django has no generics here
    """Accounts of staff."""


@admin.register(Group)
class GroupAdmin(CarefulAdmin, auth_admin.GroupAdmin):
    """Groups of permissions."""
