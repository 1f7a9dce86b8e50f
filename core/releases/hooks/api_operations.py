"""Describe the release endpoints in OpenAPI; see core.lib.openapi."""

from core.lib.openapi import describe
from core.releases.views.api import DeployRecorded, NewDeploy

describe(
    "releases:deploy-record",
    "POST",
    "Report that a release was deployed to an environment.",
    scope="releases",
    takes=NewDeploy,
    answers={200: DeployRecorded, 201: DeployRecorded},
)
