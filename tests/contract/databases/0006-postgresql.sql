SET statement_timeout = 0;
SET lock_timeout = 0;
SET idle_in_transaction_session_timeout = 0;
SET client_encoding = 'UTF8';
SET standard_conforming_strings = on;
SELECT pg_catalog.set_config('search_path', '', false);
SET check_function_bodies = false;
SET xmloption = content;
SET client_min_messages = warning;
SET row_security = off;
CREATE TYPE public.studydirection AS ENUM (
    'NOT_SET',
    'MINIMIZE',
    'MAXIMIZE'
);
CREATE TYPE public.trialintermediatevaluetype AS ENUM (
    'FINITE',
    'INF_POS',
    'INF_NEG',
    'NAN'
);
CREATE TYPE public.trialstate AS ENUM (
    'RUNNING',
    'COMPLETE',
    'PRUNED',
    'FAIL',
    'WAITING'
);
CREATE TYPE public.trialvaluetype AS ENUM (
    'FINITE',
    'INF_POS',
    'INF_NEG'
);
SET default_tablespace = '';
SET default_table_access_method = heap;
CREATE TABLE public.alembic_version (
    version_num character varying(32) NOT NULL
);
CREATE TABLE public.orchestrator_alembic_version (
    version_num character varying(32) NOT NULL
);
CREATE TABLE public.orchestrator_attempts (
    token character varying(36) NOT NULL,
    study_id integer NOT NULL,
    trial integer NOT NULL,
    number integer NOT NULL,
    state character varying(16) NOT NULL,
    created double precision NOT NULL,
    runner character varying(64) NOT NULL,
    acknowledged bigint NOT NULL,
    cause text NOT NULL,
    verdict character varying(64) NOT NULL,
    verdict_step bigint,
    host text NOT NULL,
    pid bigint,
    slot text NOT NULL,
    device text NOT NULL,
    sent double precision,
    started double precision,
    ended double precision,
    gap double precision,
    latency double precision,
    signal_latency double precision
);
CREATE TABLE public.orchestrator_checkpoints (
    id integer NOT NULL,
    study_id integer NOT NULL,
    trial integer NOT NULL,
    step bigint NOT NULL,
    location character varying(512) NOT NULL,
    digest character varying(128) NOT NULL,
    size bigint NOT NULL,
    at double precision NOT NULL
);
CREATE SEQUENCE public.orchestrator_checkpoints_id_seq
    AS integer
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;
ALTER SEQUENCE public.orchestrator_checkpoints_id_seq OWNED BY public.orchestrator_checkpoints.id;
CREATE TABLE public.orchestrator_closest (
    id integer NOT NULL,
    study_id integer NOT NULL,
    trial integer NOT NULL,
    action character varying(16) NOT NULL,
    rule character varying(64) NOT NULL,
    step bigint NOT NULL,
    value double precision,
    threshold double precision,
    peers integer NOT NULL,
    at double precision NOT NULL
);
CREATE SEQUENCE public.orchestrator_closest_id_seq
    AS integer
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;
ALTER SEQUENCE public.orchestrator_closest_id_seq OWNED BY public.orchestrator_closest.id;
CREATE TABLE public.orchestrator_code (
    id integer NOT NULL,
    study_id integer NOT NULL,
    digest character varying(64) NOT NULL,
    archive bytea NOT NULL,
    author bytea NOT NULL,
    added double precision NOT NULL
);
CREATE SEQUENCE public.orchestrator_code_id_seq
    AS integer
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;
ALTER SEQUENCE public.orchestrator_code_id_seq OWNED BY public.orchestrator_code.id;
CREATE TABLE public.orchestrator_commands (
    id integer NOT NULL,
    key character varying(64) NOT NULL,
    issuer text NOT NULL,
    operation character varying(32) NOT NULL,
    study text NOT NULL,
    payload text NOT NULL,
    created double precision NOT NULL,
    answer text
);
CREATE SEQUENCE public.orchestrator_commands_id_seq
    AS integer
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;
ALTER SEQUENCE public.orchestrator_commands_id_seq OWNED BY public.orchestrator_commands.id;
CREATE TABLE public.orchestrator_decisions (
    id integer NOT NULL,
    study_id integer NOT NULL,
    trial integer NOT NULL,
    action character varying(16) NOT NULL,
    rule character varying(64) NOT NULL,
    step bigint NOT NULL,
    value double precision,
    threshold double precision,
    peers integer NOT NULL,
    at double precision NOT NULL
);
CREATE SEQUENCE public.orchestrator_decisions_id_seq
    AS integer
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;
ALTER SEQUENCE public.orchestrator_decisions_id_seq OWNED BY public.orchestrator_decisions.id;
CREATE TABLE public.orchestrator_meta (
    schema_version integer NOT NULL
);
CREATE SEQUENCE public.orchestrator_meta_schema_version_seq
    AS integer
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;
ALTER SEQUENCE public.orchestrator_meta_schema_version_seq OWNED BY public.orchestrator_meta.schema_version;
CREATE TABLE public.orchestrator_notes (
    id integer NOT NULL,
    study_id integer NOT NULL,
    key character varying(128) NOT NULL,
    event character varying(16) NOT NULL,
    kind character varying(16) NOT NULL,
    body text NOT NULL,
    at double precision NOT NULL,
    state character varying(16) NOT NULL,
    tries integer NOT NULL,
    detail text NOT NULL,
    changed double precision NOT NULL
);
CREATE SEQUENCE public.orchestrator_notes_id_seq
    AS integer
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;
ALTER SEQUENCE public.orchestrator_notes_id_seq OWNED BY public.orchestrator_notes.id;
CREATE TABLE public.orchestrator_redone (
    id integer NOT NULL,
    study_id integer NOT NULL,
    trial integer NOT NULL,
    step bigint NOT NULL,
    value character varying(32) NOT NULL
);
CREATE SEQUENCE public.orchestrator_redone_id_seq
    AS integer
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;
ALTER SEQUENCE public.orchestrator_redone_id_seq OWNED BY public.orchestrator_redone.id;
CREATE TABLE public.orchestrator_schedules (
    name character varying(128) NOT NULL,
    definition text NOT NULL,
    since bigint NOT NULL
);
CREATE TABLE public.orchestrator_slots (
    id integer NOT NULL,
    schedule character varying(128) NOT NULL,
    planned bigint NOT NULL,
    state character varying(16) NOT NULL,
    study character varying(128) NOT NULL,
    manual boolean NOT NULL,
    reason text NOT NULL,
    report text NOT NULL,
    decided double precision NOT NULL,
    spec text,
    result text
);
CREATE SEQUENCE public.orchestrator_slots_id_seq
    AS integer
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;
ALTER SEQUENCE public.orchestrator_slots_id_seq OWNED BY public.orchestrator_slots.id;
CREATE TABLE public.orchestrator_studies (
    study_id integer NOT NULL,
    uid character varying(36) NOT NULL,
    spec text NOT NULL,
    seed bigint NOT NULL,
    state character varying(16) NOT NULL,
    reason text NOT NULL,
    created double precision NOT NULL,
    changed double precision NOT NULL
);
CREATE TABLE public.orchestrator_writer (
    id integer NOT NULL,
    term bigint NOT NULL,
    holder character varying(255) NOT NULL,
    backend bigint,
    expires double precision NOT NULL
);
CREATE SEQUENCE public.orchestrator_writer_id_seq
    AS integer
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;
ALTER SEQUENCE public.orchestrator_writer_id_seq OWNED BY public.orchestrator_writer.id;
CREATE TABLE public.studies (
    study_id integer NOT NULL,
    study_name character varying(512) NOT NULL
);
CREATE SEQUENCE public.studies_study_id_seq
    AS integer
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;
ALTER SEQUENCE public.studies_study_id_seq OWNED BY public.studies.study_id;
CREATE TABLE public.study_directions (
    study_direction_id integer NOT NULL,
    direction public.studydirection NOT NULL,
    study_id integer NOT NULL,
    objective integer NOT NULL
);
CREATE SEQUENCE public.study_directions_study_direction_id_seq
    AS integer
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;
ALTER SEQUENCE public.study_directions_study_direction_id_seq OWNED BY public.study_directions.study_direction_id;
CREATE TABLE public.study_system_attributes (
    study_system_attribute_id integer NOT NULL,
    study_id integer,
    key character varying(512),
    value_json text
);
CREATE SEQUENCE public.study_system_attributes_study_system_attribute_id_seq
    AS integer
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;
ALTER SEQUENCE public.study_system_attributes_study_system_attribute_id_seq OWNED BY public.study_system_attributes.study_system_attribute_id;
CREATE TABLE public.study_user_attributes (
    study_user_attribute_id integer NOT NULL,
    study_id integer,
    key character varying(512),
    value_json text
);
CREATE SEQUENCE public.study_user_attributes_study_user_attribute_id_seq
    AS integer
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;
ALTER SEQUENCE public.study_user_attributes_study_user_attribute_id_seq OWNED BY public.study_user_attributes.study_user_attribute_id;
CREATE TABLE public.trial_heartbeats (
    trial_heartbeat_id integer NOT NULL,
    trial_id integer NOT NULL,
    heartbeat timestamp without time zone NOT NULL
);
CREATE SEQUENCE public.trial_heartbeats_trial_heartbeat_id_seq
    AS integer
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;
ALTER SEQUENCE public.trial_heartbeats_trial_heartbeat_id_seq OWNED BY public.trial_heartbeats.trial_heartbeat_id;
CREATE TABLE public.trial_intermediate_values (
    trial_intermediate_value_id integer NOT NULL,
    trial_id integer NOT NULL,
    step integer NOT NULL,
    intermediate_value double precision,
    intermediate_value_type public.trialintermediatevaluetype NOT NULL
);
CREATE SEQUENCE public.trial_intermediate_values_trial_intermediate_value_id_seq
    AS integer
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;
ALTER SEQUENCE public.trial_intermediate_values_trial_intermediate_value_id_seq OWNED BY public.trial_intermediate_values.trial_intermediate_value_id;
CREATE TABLE public.trial_params (
    param_id integer NOT NULL,
    trial_id integer,
    param_name character varying(512),
    param_value double precision,
    distribution_json text
);
CREATE SEQUENCE public.trial_params_param_id_seq
    AS integer
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;
ALTER SEQUENCE public.trial_params_param_id_seq OWNED BY public.trial_params.param_id;
CREATE TABLE public.trial_system_attributes (
    trial_system_attribute_id integer NOT NULL,
    trial_id integer,
    key character varying(512),
    value_json text
);
CREATE SEQUENCE public.trial_system_attributes_trial_system_attribute_id_seq
    AS integer
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;
ALTER SEQUENCE public.trial_system_attributes_trial_system_attribute_id_seq OWNED BY public.trial_system_attributes.trial_system_attribute_id;
CREATE TABLE public.trial_user_attributes (
    trial_user_attribute_id integer NOT NULL,
    trial_id integer,
    key character varying(512),
    value_json text
);
CREATE SEQUENCE public.trial_user_attributes_trial_user_attribute_id_seq
    AS integer
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;
ALTER SEQUENCE public.trial_user_attributes_trial_user_attribute_id_seq OWNED BY public.trial_user_attributes.trial_user_attribute_id;
CREATE TABLE public.trial_values (
    trial_value_id integer NOT NULL,
    trial_id integer NOT NULL,
    objective integer NOT NULL,
    value double precision,
    value_type public.trialvaluetype NOT NULL
);
CREATE SEQUENCE public.trial_values_trial_value_id_seq
    AS integer
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;
ALTER SEQUENCE public.trial_values_trial_value_id_seq OWNED BY public.trial_values.trial_value_id;
CREATE TABLE public.trials (
    trial_id integer NOT NULL,
    number integer,
    study_id integer,
    state public.trialstate NOT NULL,
    datetime_start timestamp without time zone,
    datetime_complete timestamp without time zone
);
CREATE SEQUENCE public.trials_trial_id_seq
    AS integer
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;
ALTER SEQUENCE public.trials_trial_id_seq OWNED BY public.trials.trial_id;
CREATE TABLE public.version_info (
    version_info_id integer NOT NULL,
    schema_version integer,
    library_version character varying(256),
    CONSTRAINT version_info_version_info_id_check CHECK ((version_info_id = 1))
);
ALTER TABLE ONLY public.orchestrator_checkpoints ALTER COLUMN id SET DEFAULT nextval('public.orchestrator_checkpoints_id_seq'::regclass);
ALTER TABLE ONLY public.orchestrator_closest ALTER COLUMN id SET DEFAULT nextval('public.orchestrator_closest_id_seq'::regclass);
ALTER TABLE ONLY public.orchestrator_code ALTER COLUMN id SET DEFAULT nextval('public.orchestrator_code_id_seq'::regclass);
ALTER TABLE ONLY public.orchestrator_commands ALTER COLUMN id SET DEFAULT nextval('public.orchestrator_commands_id_seq'::regclass);
ALTER TABLE ONLY public.orchestrator_decisions ALTER COLUMN id SET DEFAULT nextval('public.orchestrator_decisions_id_seq'::regclass);
ALTER TABLE ONLY public.orchestrator_meta ALTER COLUMN schema_version SET DEFAULT nextval('public.orchestrator_meta_schema_version_seq'::regclass);
ALTER TABLE ONLY public.orchestrator_notes ALTER COLUMN id SET DEFAULT nextval('public.orchestrator_notes_id_seq'::regclass);
ALTER TABLE ONLY public.orchestrator_redone ALTER COLUMN id SET DEFAULT nextval('public.orchestrator_redone_id_seq'::regclass);
ALTER TABLE ONLY public.orchestrator_slots ALTER COLUMN id SET DEFAULT nextval('public.orchestrator_slots_id_seq'::regclass);
ALTER TABLE ONLY public.orchestrator_writer ALTER COLUMN id SET DEFAULT nextval('public.orchestrator_writer_id_seq'::regclass);
ALTER TABLE ONLY public.studies ALTER COLUMN study_id SET DEFAULT nextval('public.studies_study_id_seq'::regclass);
ALTER TABLE ONLY public.study_directions ALTER COLUMN study_direction_id SET DEFAULT nextval('public.study_directions_study_direction_id_seq'::regclass);
ALTER TABLE ONLY public.study_system_attributes ALTER COLUMN study_system_attribute_id SET DEFAULT nextval('public.study_system_attributes_study_system_attribute_id_seq'::regclass);
ALTER TABLE ONLY public.study_user_attributes ALTER COLUMN study_user_attribute_id SET DEFAULT nextval('public.study_user_attributes_study_user_attribute_id_seq'::regclass);
ALTER TABLE ONLY public.trial_heartbeats ALTER COLUMN trial_heartbeat_id SET DEFAULT nextval('public.trial_heartbeats_trial_heartbeat_id_seq'::regclass);
ALTER TABLE ONLY public.trial_intermediate_values ALTER COLUMN trial_intermediate_value_id SET DEFAULT nextval('public.trial_intermediate_values_trial_intermediate_value_id_seq'::regclass);
ALTER TABLE ONLY public.trial_params ALTER COLUMN param_id SET DEFAULT nextval('public.trial_params_param_id_seq'::regclass);
ALTER TABLE ONLY public.trial_system_attributes ALTER COLUMN trial_system_attribute_id SET DEFAULT nextval('public.trial_system_attributes_trial_system_attribute_id_seq'::regclass);
ALTER TABLE ONLY public.trial_user_attributes ALTER COLUMN trial_user_attribute_id SET DEFAULT nextval('public.trial_user_attributes_trial_user_attribute_id_seq'::regclass);
ALTER TABLE ONLY public.trial_values ALTER COLUMN trial_value_id SET DEFAULT nextval('public.trial_values_trial_value_id_seq'::regclass);
ALTER TABLE ONLY public.trials ALTER COLUMN trial_id SET DEFAULT nextval('public.trials_trial_id_seq'::regclass);
INSERT INTO public.alembic_version VALUES ('v3.2.0.a');
INSERT INTO public.orchestrator_alembic_version VALUES ('0006');
INSERT INTO public.orchestrator_attempts VALUES ('token-0-1', 1, 0, 1, 'done', 1700000000.25, 'rrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrr', 1099511627776, 'finished', '', NULL, 'höst', 2147483648, 'slot 1', 'gpu 0', 1700000001.25, 1700000002.25, 1700000003.25, 0.001, 0.25, 0.125);
INSERT INTO public.orchestrator_attempts VALUES ('token-1-1', 1, 1, 1, 'done', 1700000000.25, 'r1', 0, '', 'pruned', 1, '', NULL, '', '', NULL, NULL, 1700000004.25, NULL, 0.5, NULL);
INSERT INTO public.orchestrator_attempts VALUES ('token-2-1', 1, 2, 1, 'lost', 1700000000.25, '', 0, 'no sign of life', '', NULL, '', NULL, '', '', NULL, NULL, 1700000004.25, NULL, NULL, NULL);
INSERT INTO public.orchestrator_attempts VALUES ('token-3-1', 1, 3, 1, 'done', 1700000000.25, '', 0, '', '', NULL, '', NULL, '', '', NULL, NULL, 1700000005.25, NULL, NULL, NULL);
INSERT INTO public.orchestrator_attempts VALUES ('token-2-2', 1, 2, 2, 'paused', 1700000000.25, 'r2', 0, '', '', NULL, '', NULL, '', '', NULL, NULL, NULL, NULL, NULL, NULL);
INSERT INTO public.orchestrator_checkpoints VALUES (1, 1, 2, 3, 'uid/00002/token-2-1-3.pt', 'eeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeee', 1099511627776, 1700000004.25);
INSERT INTO public.orchestrator_closest VALUES (1, 1, 0, 'keep', 'median', 5, 0.5, 0.25, 3, 1700000003.25);
INSERT INTO public.orchestrator_code VALUES (1, 1, '5f544d2bbcff10d30156b3bb2080426e43e90595506444a3ef5b7a353096681e', '\x789c6b59999f94959a5c925996babea4283133cf0ace5f9a9699935a3c71d20ab0b85e41e511d594d43405b8bc46495166628ea61597021014a5969416e52918ea19702d2d482cc9289eb860595a7e516e6209230000f42706', '\x', 1790000000);
INSERT INTO public.orchestrator_commands VALUES (2, 'key-2', 'me', 'stop', 'kept', '{"now": true}', 1796072716.6933327, NULL);
INSERT INTO public.orchestrator_commands VALUES (1, 'key-1', 'me', 'pause', 'kept', '{}', 1796072716.6776638, 'paused');
INSERT INTO public.orchestrator_decisions VALUES (1, 1, 1, 'prune', 'median', 1, NULL, NULL, 0, 1700000004.25);
INSERT INTO public.orchestrator_decisions VALUES (2, 1, 3, 'prune', 'threshold', 2147483647, 0.5, 0.25, 7, 1700000005.25);
INSERT INTO public.orchestrator_decisions VALUES (3, 1, 2, 'shadow', 'asha', 3, 0.5, '-Infinity', 7, 1700000005.25);
INSERT INTO public.orchestrator_meta VALUES (2);
INSERT INTO public.orchestrator_notes VALUES (1, 1, 'uid:best:0', 'best', 'post', '{"ä": "😀"}', 1700000003.25, 'owed', 0, '', 1700000003.25);
INSERT INTO public.orchestrator_redone VALUES (1, 1, 2, 0, '0.75');
INSERT INTO public.orchestrator_redone VALUES (2, 1, 2, 0, 'nan');
INSERT INTO public.orchestrator_redone VALUES (3, 1, 2, 1, '0.5');
INSERT INTO public.orchestrator_schedules VALUES ('nightly', '{"cron": "0 2 * * *"}', 1700000000);
INSERT INTO public.orchestrator_slots VALUES (2, 'nightly', 1700100000, 'waiting', 'nightly-2', true, '', '', 1700000000.25, '{"format": 1, "name": "nightly-2", "objective": "somewhere:objective", "direction": "minimize", "trials": 6, "max_steps": null, "parallel": null, "lookahead": 1, "seed": 5, "queue": "trials", "catch": [], "grace": 10.0, "stall_timeout": null, "keep_models": null, "args": {}, "sampler": {"name": "tpe"}, "pruner": {"name": "none"}, "shadow": {"name": "none"}, "audit": 0.0, "space": {}, "enqueue": [], "retry": {"max_attempts": 3, "died": null, "lost": null, "out_of_memory": null, "stalled": null, "exception": null, "nan": null, "value": null}, "notify": {"url": null, "endpoint": null, "on": ["finished", "failed"], "command": []}, "schedule": null}', NULL);
INSERT INTO public.orchestrator_slots VALUES (1, 'nightly', 1700010000, 'skipped', 'nightly-1', false, 'the run before it went on', '', 1700000000.25, NULL, '{"state": "finished", "complete": 2, "pruned": 1, "failed": 0, "epochs": 30, "best": 0.25, "best_trial": 1, "front": null}');
INSERT INTO public.orchestrator_studies VALUES (1, '00000000-0000-0000-0000-000000000001', '{"format": 1, "name": "kept", "objective": "somewhere:objective", "direction": "minimize", "trials": 6, "max_steps": null, "parallel": null, "lookahead": 1, "seed": 5, "queue": "trials", "catch": [], "grace": 10.0, "stall_timeout": null, "keep_models": null, "args": {}, "sampler": {"name": "tpe"}, "pruner": {"name": "none"}, "shadow": {"name": "none"}, "audit": 0.0, "space": {}, "enqueue": [], "retry": {"max_attempts": 3, "died": null, "lost": null, "out_of_memory": null, "stalled": null, "exception": null, "nan": null, "value": null}, "notify": {"url": null, "endpoint": null, "on": ["finished", "failed"], "command": []}, "schedule": null}', 5, 'paused', 'because', 1700000000.25, 1700000006.25);
INSERT INTO public.orchestrator_studies VALUES (2, '00000000-0000-0000-0000-000000000002', '{"format": 1, "name": "ended", "objective": "somewhere:objective", "direction": "maximize", "trials": 6, "max_steps": null, "parallel": null, "lookahead": 1, "seed": 5, "queue": "trials", "catch": [], "grace": 10.0, "stall_timeout": null, "keep_models": null, "args": {}, "sampler": {"name": "tpe"}, "pruner": {"name": "none"}, "shadow": {"name": "none"}, "audit": 0.0, "space": {"x": {"type": "float", "low": 0.0, "high": 1.0, "log": false, "step": null}}, "enqueue": [], "retry": {"max_attempts": 3, "died": null, "lost": null, "out_of_memory": null, "stalled": null, "exception": null, "nan": null, "value": null}, "notify": {"url": null, "endpoint": null, "on": ["finished", "failed"], "command": []}, "schedule": null}', 5, 'done', 'all 0 trials have ended', 1700000001.25, 1700000002.25);
INSERT INTO public.orchestrator_writer VALUES (1, 1, '', NULL, 0);
INSERT INTO public.studies VALUES (1, 'kept');
INSERT INTO public.studies VALUES (2, 'ended');
INSERT INTO public.studies VALUES (3, 'plain');
INSERT INTO public.study_directions VALUES (1, 'MINIMIZE', 1, 0);
INSERT INTO public.study_directions VALUES (2, 'MAXIMIZE', 2, 0);
INSERT INTO public.study_directions VALUES (3, 'MINIMIZE', 3, 0);
INSERT INTO public.study_system_attributes VALUES (1, 1, 'rung', '3');
INSERT INTO public.study_user_attributes VALUES (1, 1, 'owner', '"me"');
INSERT INTO public.trial_intermediate_values VALUES (1, 1, 0, NULL, 'NAN');
INSERT INTO public.trial_intermediate_values VALUES (2, 1, 5, NULL, 'INF_POS');
INSERT INTO public.trial_intermediate_values VALUES (3, 1, 2147483647, 0, 'FINITE');
INSERT INTO public.trial_intermediate_values VALUES (4, 2, 0, 1e+308, 'FINITE');
INSERT INTO public.trial_intermediate_values VALUES (5, 2, 1, 5e-324, 'FINITE');
INSERT INTO public.trial_params VALUES (1, 1, 'x', 0.1, '{"name": "FloatDistribution", "attributes": {"step": null, "low": 0.0, "high": 1.0, "log": false}}');
INSERT INTO public.trial_params VALUES (2, 1, 'kind', 2, '{"name": "CategoricalDistribution", "attributes": {"choices": ["a", "b", null]}}');
INSERT INTO public.trial_params VALUES (3, 2, 'x', 5e-324, '{"name": "FloatDistribution", "attributes": {"step": null, "low": 0.0, "high": 1.0, "log": false}}');
INSERT INTO public.trial_params VALUES (4, 5, 'x', 0.5, '{"name": "FloatDistribution", "attributes": {"step": null, "low": 0.0, "high": 1.0, "log": false}}');
INSERT INTO public.trial_system_attributes VALUES (1, 3, 'nan', '1.5');
INSERT INTO public.trial_system_attributes VALUES (2, 5, 'fixed_params', '{"x": 0.5}');
INSERT INTO public.trial_user_attributes VALUES (1, 1, 'note', '{"\u00e4": [1, null, "\ud83d\ude00"]}');
INSERT INTO public.trial_values VALUES (1, 1, 0, -0.5, 'FINITE');
INSERT INTO public.trial_values VALUES (2, 2, 0, 1e+308, 'FINITE');
INSERT INTO public.trial_values VALUES (3, 5, 0, 0.5, 'FINITE');
INSERT INTO public.trials VALUES (3, 2, 1, 'RUNNING', '2023-11-14 22:13:21.25', NULL);
INSERT INTO public.trials VALUES (1, 0, 1, 'COMPLETE', '2023-11-14 22:13:22.25', '2023-11-14 22:13:23.250001');
INSERT INTO public.trials VALUES (2, 1, 1, 'PRUNED', '2023-11-14 22:13:22.375', '2023-11-14 22:13:24.25');
INSERT INTO public.trials VALUES (4, 3, 1, 'FAIL', '2023-11-14 22:13:21.25', '2023-11-14 22:13:25.25');
INSERT INTO public.trials VALUES (5, 0, 3, 'COMPLETE', '2026-11-30 21:05:17.333568', '2026-11-30 21:05:17.478344');
INSERT INTO public.version_info VALUES (1, 12, '5.0.0');
SELECT pg_catalog.setval('public.orchestrator_checkpoints_id_seq', 1, true);
SELECT pg_catalog.setval('public.orchestrator_closest_id_seq', 1, true);
SELECT pg_catalog.setval('public.orchestrator_code_id_seq', 1, true);
SELECT pg_catalog.setval('public.orchestrator_commands_id_seq', 2, true);
SELECT pg_catalog.setval('public.orchestrator_decisions_id_seq', 3, true);
SELECT pg_catalog.setval('public.orchestrator_meta_schema_version_seq', 1, false);
SELECT pg_catalog.setval('public.orchestrator_notes_id_seq', 1, true);
SELECT pg_catalog.setval('public.orchestrator_redone_id_seq', 3, true);
SELECT pg_catalog.setval('public.orchestrator_slots_id_seq', 2, true);
SELECT pg_catalog.setval('public.orchestrator_writer_id_seq', 1, false);
SELECT pg_catalog.setval('public.studies_study_id_seq', 3, true);
SELECT pg_catalog.setval('public.study_directions_study_direction_id_seq', 3, true);
SELECT pg_catalog.setval('public.study_system_attributes_study_system_attribute_id_seq', 1, true);
SELECT pg_catalog.setval('public.study_user_attributes_study_user_attribute_id_seq', 1, true);
SELECT pg_catalog.setval('public.trial_heartbeats_trial_heartbeat_id_seq', 1, false);
SELECT pg_catalog.setval('public.trial_intermediate_values_trial_intermediate_value_id_seq', 5, true);
SELECT pg_catalog.setval('public.trial_params_param_id_seq', 4, true);
SELECT pg_catalog.setval('public.trial_system_attributes_trial_system_attribute_id_seq', 2, true);
SELECT pg_catalog.setval('public.trial_user_attributes_trial_user_attribute_id_seq', 1, true);
SELECT pg_catalog.setval('public.trial_values_trial_value_id_seq', 3, true);
SELECT pg_catalog.setval('public.trials_trial_id_seq', 5, true);
ALTER TABLE ONLY public.alembic_version
    ADD CONSTRAINT alembic_version_pkc PRIMARY KEY (version_num);
ALTER TABLE ONLY public.orchestrator_alembic_version
    ADD CONSTRAINT orchestrator_alembic_version_pkc PRIMARY KEY (version_num);
ALTER TABLE ONLY public.orchestrator_attempts
    ADD CONSTRAINT orchestrator_attempts_pkey PRIMARY KEY (token);
ALTER TABLE ONLY public.orchestrator_attempts
    ADD CONSTRAINT orchestrator_attempts_study_id_trial_number_key UNIQUE (study_id, trial, number);
ALTER TABLE ONLY public.orchestrator_checkpoints
    ADD CONSTRAINT orchestrator_checkpoints_pkey PRIMARY KEY (id);
ALTER TABLE ONLY public.orchestrator_checkpoints
    ADD CONSTRAINT orchestrator_checkpoints_study_id_location_key UNIQUE (study_id, location);
ALTER TABLE ONLY public.orchestrator_closest
    ADD CONSTRAINT orchestrator_closest_pkey PRIMARY KEY (id);
ALTER TABLE ONLY public.orchestrator_closest
    ADD CONSTRAINT orchestrator_closest_study_id_trial_key UNIQUE (study_id, trial);
ALTER TABLE ONLY public.orchestrator_code
    ADD CONSTRAINT orchestrator_code_pkey PRIMARY KEY (id);
ALTER TABLE ONLY public.orchestrator_code
    ADD CONSTRAINT orchestrator_code_study_id_digest_key UNIQUE (study_id, digest);
ALTER TABLE ONLY public.orchestrator_commands
    ADD CONSTRAINT orchestrator_commands_key_key UNIQUE (key);
ALTER TABLE ONLY public.orchestrator_commands
    ADD CONSTRAINT orchestrator_commands_pkey PRIMARY KEY (id);
ALTER TABLE ONLY public.orchestrator_decisions
    ADD CONSTRAINT orchestrator_decisions_pkey PRIMARY KEY (id);
ALTER TABLE ONLY public.orchestrator_decisions
    ADD CONSTRAINT orchestrator_decisions_study_id_trial_action_step_key UNIQUE (study_id, trial, action, step);
ALTER TABLE ONLY public.orchestrator_meta
    ADD CONSTRAINT orchestrator_meta_pkey PRIMARY KEY (schema_version);
ALTER TABLE ONLY public.orchestrator_notes
    ADD CONSTRAINT orchestrator_notes_key_key UNIQUE (key);
ALTER TABLE ONLY public.orchestrator_notes
    ADD CONSTRAINT orchestrator_notes_pkey PRIMARY KEY (id);
ALTER TABLE ONLY public.orchestrator_redone
    ADD CONSTRAINT orchestrator_redone_pkey PRIMARY KEY (id);
ALTER TABLE ONLY public.orchestrator_redone
    ADD CONSTRAINT orchestrator_redone_study_id_trial_step_value_key UNIQUE (study_id, trial, step, value);
ALTER TABLE ONLY public.orchestrator_schedules
    ADD CONSTRAINT orchestrator_schedules_pkey PRIMARY KEY (name);
ALTER TABLE ONLY public.orchestrator_slots
    ADD CONSTRAINT orchestrator_slots_pkey PRIMARY KEY (id);
ALTER TABLE ONLY public.orchestrator_slots
    ADD CONSTRAINT orchestrator_slots_schedule_planned_key UNIQUE (schedule, planned);
ALTER TABLE ONLY public.orchestrator_studies
    ADD CONSTRAINT orchestrator_studies_pkey PRIMARY KEY (study_id);
ALTER TABLE ONLY public.orchestrator_studies
    ADD CONSTRAINT orchestrator_studies_uid_key UNIQUE (uid);
ALTER TABLE ONLY public.orchestrator_writer
    ADD CONSTRAINT orchestrator_writer_pkey PRIMARY KEY (id);
ALTER TABLE ONLY public.studies
    ADD CONSTRAINT studies_pkey PRIMARY KEY (study_id);
ALTER TABLE ONLY public.study_directions
    ADD CONSTRAINT study_directions_pkey PRIMARY KEY (study_direction_id);
ALTER TABLE ONLY public.study_directions
    ADD CONSTRAINT study_directions_study_id_objective_key UNIQUE (study_id, objective);
ALTER TABLE ONLY public.study_system_attributes
    ADD CONSTRAINT study_system_attributes_pkey PRIMARY KEY (study_system_attribute_id);
ALTER TABLE ONLY public.study_system_attributes
    ADD CONSTRAINT study_system_attributes_study_id_key_key UNIQUE (study_id, key);
ALTER TABLE ONLY public.study_user_attributes
    ADD CONSTRAINT study_user_attributes_pkey PRIMARY KEY (study_user_attribute_id);
ALTER TABLE ONLY public.study_user_attributes
    ADD CONSTRAINT study_user_attributes_study_id_key_key UNIQUE (study_id, key);
ALTER TABLE ONLY public.trial_heartbeats
    ADD CONSTRAINT trial_heartbeats_pkey PRIMARY KEY (trial_heartbeat_id);
ALTER TABLE ONLY public.trial_heartbeats
    ADD CONSTRAINT trial_heartbeats_trial_id_key UNIQUE (trial_id);
ALTER TABLE ONLY public.trial_intermediate_values
    ADD CONSTRAINT trial_intermediate_values_pkey PRIMARY KEY (trial_intermediate_value_id);
ALTER TABLE ONLY public.trial_intermediate_values
    ADD CONSTRAINT trial_intermediate_values_trial_id_step_key UNIQUE (trial_id, step);
ALTER TABLE ONLY public.trial_params
    ADD CONSTRAINT trial_params_pkey PRIMARY KEY (param_id);
ALTER TABLE ONLY public.trial_params
    ADD CONSTRAINT trial_params_trial_id_param_name_key UNIQUE (trial_id, param_name);
ALTER TABLE ONLY public.trial_system_attributes
    ADD CONSTRAINT trial_system_attributes_pkey PRIMARY KEY (trial_system_attribute_id);
ALTER TABLE ONLY public.trial_system_attributes
    ADD CONSTRAINT trial_system_attributes_trial_id_key_key UNIQUE (trial_id, key);
ALTER TABLE ONLY public.trial_user_attributes
    ADD CONSTRAINT trial_user_attributes_pkey PRIMARY KEY (trial_user_attribute_id);
ALTER TABLE ONLY public.trial_user_attributes
    ADD CONSTRAINT trial_user_attributes_trial_id_key_key UNIQUE (trial_id, key);
ALTER TABLE ONLY public.trial_values
    ADD CONSTRAINT trial_values_pkey PRIMARY KEY (trial_value_id);
ALTER TABLE ONLY public.trial_values
    ADD CONSTRAINT trial_values_trial_id_objective_key UNIQUE (trial_id, objective);
ALTER TABLE ONLY public.trials
    ADD CONSTRAINT trials_pkey PRIMARY KEY (trial_id);
ALTER TABLE ONLY public.version_info
    ADD CONSTRAINT version_info_pkey PRIMARY KEY (version_info_id);
CREATE INDEX ix_orchestrator_notes_study_id ON public.orchestrator_notes USING btree (study_id);
CREATE INDEX ix_orchestrator_redone_study_id ON public.orchestrator_redone USING btree (study_id);
CREATE UNIQUE INDEX ix_studies_study_name ON public.studies USING btree (study_name);
CREATE INDEX ix_trials_study_id ON public.trials USING btree (study_id);
CREATE UNIQUE INDEX orchestrator_one_live_attempt ON public.orchestrator_attempts USING btree (study_id, trial) WHERE ((state)::text = ANY (ARRAY[('paused'::character varying)::text, ('queued'::character varying)::text, ('running'::character varying)::text, ('sent'::character varying)::text, ('stopping'::character varying)::text]));
CREATE INDEX orchestrator_open_slots ON public.orchestrator_slots USING btree (schedule) WHERE ((state)::text = ANY (ARRAY[('deleting'::character varying)::text, ('running'::character varying)::text, ('waiting'::character varying)::text]));
ALTER TABLE ONLY public.orchestrator_attempts
    ADD CONSTRAINT orchestrator_attempts_study_id_fkey FOREIGN KEY (study_id) REFERENCES public.studies(study_id) ON DELETE CASCADE;
ALTER TABLE ONLY public.orchestrator_checkpoints
    ADD CONSTRAINT orchestrator_checkpoints_study_id_fkey FOREIGN KEY (study_id) REFERENCES public.studies(study_id) ON DELETE CASCADE;
ALTER TABLE ONLY public.orchestrator_closest
    ADD CONSTRAINT orchestrator_closest_study_id_fkey FOREIGN KEY (study_id) REFERENCES public.studies(study_id) ON DELETE CASCADE;
ALTER TABLE ONLY public.orchestrator_code
    ADD CONSTRAINT orchestrator_code_study_id_fkey FOREIGN KEY (study_id) REFERENCES public.studies(study_id) ON DELETE CASCADE;
ALTER TABLE ONLY public.orchestrator_decisions
    ADD CONSTRAINT orchestrator_decisions_study_id_fkey FOREIGN KEY (study_id) REFERENCES public.studies(study_id) ON DELETE CASCADE;
ALTER TABLE ONLY public.orchestrator_notes
    ADD CONSTRAINT orchestrator_notes_study_id_fkey FOREIGN KEY (study_id) REFERENCES public.studies(study_id) ON DELETE CASCADE;
ALTER TABLE ONLY public.orchestrator_redone
    ADD CONSTRAINT orchestrator_redone_study_id_fkey FOREIGN KEY (study_id) REFERENCES public.studies(study_id) ON DELETE CASCADE;
ALTER TABLE ONLY public.orchestrator_studies
    ADD CONSTRAINT orchestrator_studies_study_id_fkey FOREIGN KEY (study_id) REFERENCES public.studies(study_id) ON DELETE CASCADE;
ALTER TABLE ONLY public.study_directions
    ADD CONSTRAINT study_directions_study_id_fkey FOREIGN KEY (study_id) REFERENCES public.studies(study_id);
ALTER TABLE ONLY public.study_system_attributes
    ADD CONSTRAINT study_system_attributes_study_id_fkey FOREIGN KEY (study_id) REFERENCES public.studies(study_id);
ALTER TABLE ONLY public.study_user_attributes
    ADD CONSTRAINT study_user_attributes_study_id_fkey FOREIGN KEY (study_id) REFERENCES public.studies(study_id);
ALTER TABLE ONLY public.trial_heartbeats
    ADD CONSTRAINT trial_heartbeats_trial_id_fkey FOREIGN KEY (trial_id) REFERENCES public.trials(trial_id);
ALTER TABLE ONLY public.trial_intermediate_values
    ADD CONSTRAINT trial_intermediate_values_trial_id_fkey FOREIGN KEY (trial_id) REFERENCES public.trials(trial_id);
ALTER TABLE ONLY public.trial_params
    ADD CONSTRAINT trial_params_trial_id_fkey FOREIGN KEY (trial_id) REFERENCES public.trials(trial_id);
ALTER TABLE ONLY public.trial_system_attributes
    ADD CONSTRAINT trial_system_attributes_trial_id_fkey FOREIGN KEY (trial_id) REFERENCES public.trials(trial_id);
ALTER TABLE ONLY public.trial_user_attributes
    ADD CONSTRAINT trial_user_attributes_trial_id_fkey FOREIGN KEY (trial_id) REFERENCES public.trials(trial_id);
ALTER TABLE ONLY public.trial_values
    ADD CONSTRAINT trial_values_trial_id_fkey FOREIGN KEY (trial_id) REFERENCES public.trials(trial_id);
ALTER TABLE ONLY public.trials
    ADD CONSTRAINT trials_study_id_fkey FOREIGN KEY (study_id) REFERENCES public.studies(study_id);
