"""Move all data of a portal from SQLite to PostgreSQL: `manage.py move_to_postgresql`.

| module | contents |
| --- | --- |
| `rows` | a row of SQLite as the text that PostgreSQL's COPY reads and writes |
| `source` | the SQLite file, locked against writes |
| `target` | the PostgreSQL database, and what has been copied to it so far |
| `compare` | counts and checksums of both |
| `progress` | how the progress is shown |
| `steps` | the steps, in their order |
"""
