"""Move all data of a portal from SQLite to PostgreSQL: `manage.py move_to_postgresql`.

| module | purpose |
| --- | --- |
| `rows` | converts rows of SQLite to the text format of PostgreSQL's COPY |
| `source` | reads the SQLite file, and locks it against writes |
| `target` | writes to the PostgreSQL database, and records which rows have been copied |
| `compare` | compares both databases by counts and checksums |
| `progress` | displays the progress |
| `steps` | runs the steps in order |
"""
