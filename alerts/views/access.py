"""Who may look and who may act."""

from django.contrib.auth.decorators import permission_required

may_view = permission_required("alerts.view_systemalert", raise_exception=True)
may_change = permission_required("alerts.change_systemalert", raise_exception=True)
CHANGE = "alerts.change_systemalert"
