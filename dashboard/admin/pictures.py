"""Admin pages with pictures, which are decoded before the page's transaction begins."""

from typing import Any

from django.contrib import messages
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect

from dashboard.admin.edited import Edited
from inventory import pending_pictures
from inventory.picture_field import take_pictures


class WithPictures(Edited):
    """Takes the pictures of its form and formsets, and says after saving what happened to them."""

    def changeform_view(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        permitted = self.has_add_permission(request) or self.has_change_permission(request)
        sent = request.method == "POST" and permitted
        pictures = take_pictures(request) if sent else []
        page = super().changeform_view(request, *args, **kwargs)
        if isinstance(page, HttpResponseRedirect):  # saved
            for picture in pictures:
                pending_pictures.drop(picture.token)
                for note in picture.encoded.notes:
                    self.message_user(request, note, messages.WARNING)
        return page
