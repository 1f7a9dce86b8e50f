class CannotMove(Exception):
    """The move cannot continue. The message states the reason and what to do."""


class Different(Exception):
    """The data in PostgreSQL differs from the data in SQLite."""

    def __init__(self, differences: list[str]) -> None:
        super().__init__("\n".join(differences))
        self.differences = differences
