"""Define the admin of the status page's appearance and of the incident templates."""

from typing import Any

from django import forms
from django.contrib import admin
from django.core.exceptions import ValidationError
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.utils.html import format_html
from django.utils.safestring import SafeString

from core.lib.admin import PortalAdmin, Section
from health import colors
from health.admin.incidents import ComponentChoices
from health.caches.status import status_cache
from health.models import HEX_COLOR, IncidentTemplate, StatusPage

MAX_LOGO_BYTES = 200_000
# Each pair contains the first bytes of an image file and the file's media type.
LOGO_TYPES = (
    (b"\x89PNG\r\n\x1a\n", "image/png"),
    (b"\xff\xd8\xff", "image/jpeg"),
    (b"GIF8", "image/gif"),
    (b"<svg", "image/svg+xml"),
    (b"<?xml", "image/svg+xml"),
)


def detect_logo_type(content: bytes) -> str:
    """Return the media type of a PNG, JPEG, GIF, WebP or SVG image, or "" for any other content."""
    if content[:4] == b"RIFF" and content[8:12] == b"WEBP":
        return "image/webp"
    start = content.lstrip()[:16]
    found = next((kind for prefix, kind in LOGO_TYPES if start.startswith(prefix)), "")
    is_other_xml = found == "image/svg+xml" and b"<svg" not in content
    return "" if is_other_xml else found


class StatusPageForm(forms.ModelForm[StatusPage]):
    home_url = forms.URLField(
        label="Website",
        required=False,
        max_length=200,
        assume_scheme="https",
        widget=forms.URLInput(attrs={"class": "vTextField"}),
        help_text="The logo and the heading link to this address, for example https://shop.example.",
    )
    logo_file = forms.FileField(
        label="Logo",
        required=False,
        widget=forms.FileInput(
            attrs={"accept": "image/png,image/jpeg,image/gif,image/webp,image/svg+xml"}
        ),
        help_text="Upload a PNG, SVG, JPEG, WebP or GIF image of at most 200 kB. The page shows it 40 pixels high.",
    )
    remove_logo = forms.BooleanField(label="Remove the logo", required=False)

    class Meta:
        model = StatusPage
        fields = ("name", "home_url", "accent_color", "dark_accent_color")

    def clean_logo_file(self) -> bytes | None:
        file: Any = self.cleaned_data["logo_file"]
        if file is None:
            return None
        if (file.size or 0) > MAX_LOGO_BYTES:
            raise ValidationError("The image is larger than 200 kB.")
        content = file.read()
        if not detect_logo_type(content):
            raise ValidationError("Upload a PNG, SVG, JPEG, WebP or GIF image.")
        return bytes(content)

    def clean_accent_color(self) -> str:
        return _require_contrast(self.cleaned_data["accent_color"], colors.LIGHT_SURFACE, "white")

    def clean_dark_accent_color(self) -> str:
        color = self.cleaned_data["dark_accent_color"]
        return _require_contrast(color, colors.DARK_SURFACE, "the dark background")

    def save(self, commit: bool = True) -> Any:
        content = self.cleaned_data["logo_file"]
        if content:
            self.instance.logo, self.instance.logo_type = content, detect_logo_type(content)
        elif self.cleaned_data["remove_logo"]:
            self.instance.logo, self.instance.logo_type = b"", ""
        return super().save(commit)


def _require_contrast(color: str, background: str, name: str) -> str:
    if color:
        HEX_COLOR(color)
    if color and (found := colors.contrast(color, background)) < colors.MIN_CONTRAST:
        raise ValidationError(
            f"Text in this color would be hard to read on {name}: the contrast is {found:.1f}, "
            f"but must be at least {colors.MIN_CONTRAST}."
        )
    return color


@admin.register(StatusPage)
class StatusPageAdmin(PortalAdmin):
    section = Section.STATUS_PAGE
    setting_title = "Appearance"
    setting_purpose = "The name, logo and colors of the public status page."
    offers_add = False
    is_single = True
    form = StatusPageForm
    field_labels = {"dark_accent_color": "Accent color in dark mode"}
    field_help = {
        "name": "The heading of the page, for example Shop status.",
        "accent_color": "The color of links and buttons, for example #1f5fa8. Leave empty for the portal's own color.",
    }
    fields = (
        "name",
        "home_url",
        "shown_logo",
        "logo_file",
        "remove_logo",
        "accent_color",
        "dark_accent_color",
    )
    readonly_fields = ("shown_logo",)

    @admin.display(description="current logo")
    def shown_logo(self, obj: StatusPage) -> SafeString | str:
        if not obj.logo:
            return "none"
        return format_html('<img src="/status/logo?v={}" alt="Logo" height="40">', len(obj.logo))

    def has_add_permission(self, request: HttpRequest) -> bool:
        return super().has_add_permission(request) and not StatusPage.objects.exists()

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def changelist_view(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """Redirect to the form, because there is at most one row of settings."""
        page = StatusPage.objects.first()
        if page is not None:
            return redirect("admin:health_statuspage_change", page.pk)
        if self.has_add_permission(request):
            return redirect("admin:health_statuspage_add")
        return super().changelist_view(request, extra_context)

    def save_model(self, request: HttpRequest, obj: StatusPage, form: Any, change: bool) -> None:
        obj.pk = 1
        super().save_model(request, obj, form, change)
        status_cache.clear()


@admin.register(IncidentTemplate)
class IncidentTemplateAdmin(ComponentChoices, PortalAdmin):
    section = Section.STATUS_PAGE
    setting_purpose = "Prepared texts for new incidents and updates."
    field_labels = {
        "title": "Title of the incident",
        "component": "Affected component",
        "is_major": "Major outage",
        "text": "Text of the update",
    }
    field_help = {
        "name": "Staff choose the template by this name.",
        "title": "The title is used for a new incident only, for example Payments fail for some customers.",
    }
    list_display = ("name", "title", "state")
    search_fields = ("name", "title", "text")
    fields = ("name", "title", "component", "is_major", "state", "text")
