from django.contrib.auth.decorators import permission_required

may_view = permission_required("errors.view_errorgroup", raise_exception=True)
may_change = permission_required("errors.change_errorgroup", raise_exception=True)
