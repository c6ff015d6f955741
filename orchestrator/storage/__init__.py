"""The write half of the database: tables, migrations, lease, batch writer, study loader."""
