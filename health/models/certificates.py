"""Define the TLS certificates of https monitors, with one component per host and port."""

from typing import ClassVar

from django.db import models

from health.models.components import Component


class CertificateQuerySet(models.QuerySet["Certificate"]):
    def enabled(self) -> "CertificateQuerySet":
        return self.filter(is_enabled=True)


class Certificate(Component):
    """The certificate of an address.

    Its status is degraded shortly before the certificate expires, and down afterwards. `health.services.certificates`
    creates a row for each TLS address of an enabled monitor, and deletes the row when no enabled monitor uses the
    address.
    """

    host = models.CharField(max_length=255, editable=False)
    port = models.PositiveIntegerField(default=443, editable=False)
    expires_at = models.DateTimeField(null=True, editable=False)
    read_at = models.DateTimeField(null=True, editable=False)

    objects = CertificateQuerySet.as_manager()  # type: ignore[misc, assignment]

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["host", "port"], name="one_certificate_per_address")
        ]

    @property
    def address(self) -> tuple[str, int]:
        return self.host, self.port
