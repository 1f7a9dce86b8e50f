from django.contrib.auth import views as auth_views
from django.urls import include, path

from core.accounts.views import password_reset, sign_in, single_sign_on, two_factor

own = [
    path("admin/login/verify/", sign_in.verify, name="login-verify"),
    path("admin/sso/<slug:slug>/", single_sign_on.start, name="single-sign-on"),
    path("admin/two-factor/", two_factor.two_factor_page, name="two-factor"),
    path("admin/two-factor/confirm/", two_factor.confirm, name="two-factor-confirm"),
    path("admin/two-factor/codes/", two_factor.renew_codes, name="two-factor-codes"),
    path("admin/two-factor/off/", two_factor.turn_off, name="two-factor-off"),
]
# Django's templates, such as the sign-in page, refer to these names.
reset = [
    path("admin/password_reset/", password_reset.PasswordReset.as_view(), name="admin_password_reset"),
    path("admin/password_reset/done/", auth_views.PasswordResetDoneView.as_view(), name="password_reset_done"),
    path("admin/reset/<uidb64>/<token>/", auth_views.PasswordResetConfirmView.as_view(), name="password_reset_confirm"),
    path("admin/reset/done/", auth_views.PasswordResetCompleteView.as_view(), name="password_reset_complete"),
]  # fmt: skip
# django-allauth refers to the names of the callbacks.
callbacks = [
    path("admin/sso/github/callback/", single_sign_on.github_callback, name="github_callback"),
    path(
        "admin/sso/<slug:slug>/callback/", single_sign_on.callback, name="openid_connect_callback"
    ),
]
urlpatterns = [path("", include((own, "access"))), *reset, *callbacks]
