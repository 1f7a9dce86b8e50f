from core.releases.models.commits import Commit, CommitFile
from core.releases.models.health import ReleaseSessions, ReleaseUser
from core.releases.models.releases import Deploy, Release

__all__ = ["Commit", "CommitFile", "Deploy", "Release", "ReleaseSessions", "ReleaseUser"]
