-- Roles for PostgreSQL: who owns the tables, who writes studies, who only reads them.
--
--   psql -d optuna -v folder=secrets -f roles.sql
--   ORCHESTRATOR_STORAGE_URL=postgresql://OWNER@host/optuna orchestrator prepare
--
-- The passwords are in files of the folder, postgres_writer_password and postgres_reader_password: on a command line
-- every user of the host could read them. Without one it is /run/secrets, so that this file can lie in
-- /docker-entrypoint-initdb.d as it is.
--
-- Run it as the database's owner, who may make roles, once; a second time changes the passwords. The tables that are
-- made later by the same owner are covered too: `orchestrator prepare` makes them, and those that a new version adds.
--
--   orchestrator_writer   `serve`, `submit`, `run` and what steers: reads and writes rows, makes and drops nothing
--   orchestrator_reader   `ls`, `status`, `report`, optuna-dashboard, notebooks: reads
\set ON_ERROR_STOP on
\if :{?folder}
\else
    \set folder /run/secrets
\endif
\set writer_password `cat :'folder'/postgres_writer_password`
\set reader_password `cat :'folder'/postgres_reader_password`
SELECT :'writer_password' = '' OR :'reader_password' = '' AS missing \gset
\if :missing
    DO $$ BEGIN RAISE 'postgres_writer_password or postgres_reader_password is not in the folder, or empty'; END $$;
\endif

SELECT format('CREATE ROLE %I', name)
FROM unnest(ARRAY['orchestrator_writer', 'orchestrator_reader']) AS name
WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = name) \gexec

ALTER ROLE orchestrator_writer LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE PASSWORD :'writer_password';
ALTER ROLE orchestrator_reader LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE PASSWORD :'reader_password';
ALTER ROLE orchestrator_reader SET default_transaction_read_only = on;

-- What PostgreSQL gives to every role.
SELECT format('REVOKE ALL ON DATABASE %I FROM PUBLIC', current_database()) \gexec
SELECT format('GRANT CONNECT ON DATABASE %I TO orchestrator_writer, orchestrator_reader', current_database()) \gexec
REVOKE ALL ON SCHEMA public FROM PUBLIC;
GRANT USAGE ON SCHEMA public TO orchestrator_writer, orchestrator_reader;

-- The tables that are there, and those that this owner will make.
GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO orchestrator_writer;
GRANT SELECT, USAGE ON ALL SEQUENCES IN SCHEMA public TO orchestrator_writer;
GRANT SELECT ON ALL TABLES IN SCHEMA public TO orchestrator_reader;
ALTER DEFAULT PRIVILEGES IN SCHEMA public GRANT SELECT, INSERT, UPDATE, DELETE ON TABLES TO orchestrator_writer;
ALTER DEFAULT PRIVILEGES IN SCHEMA public GRANT SELECT, USAGE ON SEQUENCES TO orchestrator_writer;
ALTER DEFAULT PRIVILEGES IN SCHEMA public GRANT SELECT ON TABLES TO orchestrator_reader;
