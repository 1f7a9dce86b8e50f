"""Describe the endpoints of configuration objects in OpenAPI; see core.lib.openapi."""

from core.config.extension_points import Resource, registry
from core.config.values import given_type, shown_type
from core.config.views import page_type
from core.lib.openapi import describe

INVALID = "A member is invalid; `errors` names it and gives the reason."


def describe_resource(resource: Resource) -> None:
    label = str(resource.model._meta.verbose_name)
    article = "an" if label[0] in "aeiou" else "a"
    given, shown = given_type(resource), shown_type(resource)
    missing = {404: f"There is no such {label}."}
    taken = {409: f"Another {label} has the same {resource.key}."}
    lists, one = f"config:{resource.kind}", f"config:{resource.kind}-object"
    describe(
        lists,
        "GET",
        f"List {resource.kind.replace('-', ' ')}, newest first.",
        scope=resource.read_scope.value,
        query={
            resource.key: f"Only the object with this {resource.key}.",
            "limit": "Number of objects, from 1 to 200. The default is 50.",
            "cursor": "The `next_cursor` of the previous page.",
        },
        answers={200: page_type(resource, shown)},
        refusals={422: "A parameter is invalid; `detail` names it."},
    )
    describe(
        lists,
        "POST",
        f"Create {article} {label}. Omitted members get the default values of the admin form.",
        scope=resource.write_scope.value,
        takes=given,
        answers={201: shown},
        refusals={**taken, 422: INVALID},
    )
    describe(
        one,
        "GET",
        f"Return {article} {label}.",
        scope=resource.read_scope.value,
        answers={200: shown},
        refusals=missing,
    )
    describe(
        one,
        "PATCH",
        f"Change those members of {article} {label} that the body contains.",
        scope=resource.write_scope.value,
        takes=given,
        answers={200: shown},
        refusals={**missing, **taken, 422: INVALID},
    )
    describe(
        one,
        "DELETE",
        f"Delete {article} {label}.",
        scope=resource.write_scope.value,
        answers={204: None},
        refusals={**missing, 409: f"The {label} is part of the portal, or other objects need it."},
    )


for resource in registry:
    describe_resource(resource)
