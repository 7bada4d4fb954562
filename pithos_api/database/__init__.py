"""The API database: tables, engine, migrations."""
