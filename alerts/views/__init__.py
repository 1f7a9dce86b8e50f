"""Define the permissions that the views of alerts require."""

from django.contrib.auth.decorators import permission_required

CHANGE = "alerts.change_systemalert"
may_view = permission_required("alerts.view_systemalert", raise_exception=True)
may_change = permission_required(CHANGE, raise_exception=True)
