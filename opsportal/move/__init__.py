"""Move all data of a portal from SQLite to PostgreSQL: `manage.py move_to_postgresql`.

| module | contents |
| --- | --- |
| `rows` | the conversion of a row of SQLite to the text that PostgreSQL's COPY reads and writes |
| `source` | the SQLite file, locked against writes |
| `target` | the PostgreSQL database, and the record of the rows that have been copied to it |
| `compare` | the comparison of both databases by counts and checksums |
| `progress` | the display of the progress |
| `steps` | the steps, in their order |
"""
