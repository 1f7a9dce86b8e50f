from core.clients.models import ClientApp
from core.lib.first_steps import first_step
from errors.models import ErrorGroup


@first_step(
    "errors.first_error",
    title="Report the first error of an app",
    text="Register an app. Copy its DSN into a Sentry SDK, or run the curl command from the app's page. "
    "The first error appears on the page “Errors” within seconds.",
    action="Choose an app",
    url_name="admin:clients_clientapp_changelist",
    permission="clients.view_clientapp",
    order=10,
)
def has_error_of_an_app() -> bool:
    return ErrorGroup.objects.exclude(app__slug=ClientApp.PORTAL_SLUG).exists()
