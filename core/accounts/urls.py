from django.contrib import admin
from django.contrib.auth import views as auth_views
from django.urls import include, path

from core.accounts.views import (
    passkeys,
    password_reset,
    saml,
    sessions,
    sign_in,
    single_sign_on,
    two_factor,
)

staff = admin.site.admin_view
own = [
    path("admin/sessions/", staff(sessions.session_list), name="session-list"),
    path("admin/sessions/of/<int:user_id>/", staff(sessions.session_list), name="session-list-of"),
    path("admin/sessions/<int:session_id>/end/", staff(sessions.session_end), name="session-end"),
    path(
        "admin/sessions/end-others/", staff(sessions.session_end_others), name="session-end-others"
    ),
    path(
        "admin/sessions/of/<int:user_id>/end/",
        staff(sessions.session_end_others),
        name="session-end-others-of",
    ),
    path("admin/login/verify/", sign_in.verify, name="login-verify"),
    path("admin/sso/<slug:slug>/", single_sign_on.start, name="single-sign-on"),
    path("admin/sso/<slug:slug>/metadata/", saml.metadata, name="saml-metadata"),
    path("admin/sso/<slug:slug>/acs/", saml.acs, name="saml-acs"),
    path("admin/sso/<slug:slug>/acs/finish/", saml.finish, name="saml-finish"),
    path("admin/passkeys/options/", passkeys.creation_options, name="passkey-options"),
    path("admin/passkeys/add/", passkeys.add, name="passkey-add"),
    path("admin/passkeys/<int:passkey_id>/remove/", staff(passkeys.remove), name="passkey-remove"),
    path("admin/login/passkey/options/", passkeys.sign_in_options, name="login-passkey-options"),
    path("admin/login/passkey/", passkeys.sign_in, name="login-passkey"),
    path("admin/two-factor/", two_factor.two_factor_page, name="two-factor"),
    path("admin/two-factor/confirm/", two_factor.confirm, name="two-factor-confirm"),
    path("admin/two-factor/codes/", two_factor.renew_codes, name="two-factor-codes"),
    path("admin/two-factor/off/", two_factor.turn_off, name="two-factor-off"),
]
# These names are fixed, because Django's templates, such as the sign-in page, refer to them.
reset = [
    path("admin/password_reset/", password_reset.PasswordReset.as_view(), name="admin_password_reset"),
    path("admin/password_reset/done/", auth_views.PasswordResetDoneView.as_view(), name="password_reset_done"),
    path("admin/reset/<uidb64>/<token>/", auth_views.PasswordResetConfirmView.as_view(), name="password_reset_confirm"),
    path("admin/reset/done/", auth_views.PasswordResetCompleteView.as_view(), name="password_reset_complete"),
]  # fmt: skip
# These names are fixed, because django-allauth refers to them.
callbacks = [
    path("admin/sso/github/callback/", single_sign_on.github_callback, name="github_callback"),
    path(
        "admin/sso/<slug:slug>/callback/", single_sign_on.callback, name="openid_connect_callback"
    ),
]
urlpatterns = [path("", include((own, "access"))), *reset, *callbacks]
