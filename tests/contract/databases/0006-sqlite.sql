BEGIN TRANSACTION;
CREATE TABLE alembic_version (
	version_num VARCHAR(32) NOT NULL, 
	CONSTRAINT alembic_version_pkc PRIMARY KEY (version_num)
);
INSERT INTO "alembic_version" VALUES('v3.2.0.a');
CREATE TABLE orchestrator_alembic_version (
	version_num VARCHAR(32) NOT NULL, 
	CONSTRAINT orchestrator_alembic_version_pkc PRIMARY KEY (version_num)
);
INSERT INTO "orchestrator_alembic_version" VALUES('0006');
CREATE TABLE orchestrator_attempts (
	token VARCHAR(36) NOT NULL, 
	study_id INTEGER NOT NULL, 
	trial INTEGER NOT NULL, 
	number INTEGER NOT NULL, 
	state VARCHAR(16) NOT NULL, 
	created FLOAT NOT NULL, 
	runner VARCHAR(64) NOT NULL, 
	acknowledged BIGINT NOT NULL, 
	cause TEXT NOT NULL, 
	verdict VARCHAR(64) NOT NULL, 
	verdict_step BIGINT, 
	host TEXT NOT NULL, 
	pid BIGINT, 
	slot TEXT NOT NULL, 
	device TEXT NOT NULL, 
	sent FLOAT, 
	started FLOAT, 
	ended FLOAT, 
	gap FLOAT, 
	latency FLOAT, 
	signal_latency FLOAT, 
	PRIMARY KEY (token), 
	UNIQUE (study_id, trial, number), 
	FOREIGN KEY(study_id) REFERENCES studies (study_id) ON DELETE CASCADE
);
INSERT INTO "orchestrator_attempts" VALUES('token-0-1',1,0,1,'done',1700000000.25,'rrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrr',1099511627776,'finished','',NULL,'höst',2147483648,'slot 1','gpu 0',1700000001.25,1700000002.25,1700000003.25,0.001,0.25,0.125);
INSERT INTO "orchestrator_attempts" VALUES('token-1-1',1,1,1,'done',1700000000.25,'r1',0,'','pruned',1,'',NULL,'','',NULL,NULL,1700000004.25,NULL,0.5,NULL);
INSERT INTO "orchestrator_attempts" VALUES('token-2-1',1,2,1,'lost',1700000000.25,'',0,'no sign of life','',NULL,'',NULL,'','',NULL,NULL,1700000004.25,NULL,NULL,NULL);
INSERT INTO "orchestrator_attempts" VALUES('token-3-1',1,3,1,'done',1700000000.25,'',0,'','',NULL,'',NULL,'','',NULL,NULL,1700000005.25,NULL,NULL,NULL);
INSERT INTO "orchestrator_attempts" VALUES('token-2-2',1,2,2,'paused',1700000000.25,'r2',0,'','',NULL,'',NULL,'','',NULL,NULL,NULL,NULL,NULL,NULL);
CREATE TABLE orchestrator_checkpoints (
	id INTEGER NOT NULL, 
	study_id INTEGER NOT NULL, 
	trial INTEGER NOT NULL, 
	step BIGINT NOT NULL, 
	location VARCHAR(512) NOT NULL, 
	digest VARCHAR(128) NOT NULL, 
	size BIGINT NOT NULL, 
	at FLOAT NOT NULL, 
	PRIMARY KEY (id), 
	UNIQUE (study_id, location), 
	FOREIGN KEY(study_id) REFERENCES studies (study_id) ON DELETE CASCADE
);
INSERT INTO "orchestrator_checkpoints" VALUES(1,1,2,3,'uid/00002/token-2-1-3.pt','eeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeee',1099511627776,1700000004.25);
CREATE TABLE orchestrator_closest (
	id INTEGER NOT NULL, 
	study_id INTEGER NOT NULL, 
	trial INTEGER NOT NULL, 
	action VARCHAR(16) NOT NULL, 
	rule VARCHAR(64) NOT NULL, 
	step BIGINT NOT NULL, 
	value FLOAT, 
	threshold FLOAT, 
	peers INTEGER NOT NULL, 
	at FLOAT NOT NULL, 
	PRIMARY KEY (id), 
	UNIQUE (study_id, trial), 
	FOREIGN KEY(study_id) REFERENCES studies (study_id) ON DELETE CASCADE
);
INSERT INTO "orchestrator_closest" VALUES(1,1,0,'keep','median',5,0.5,0.25,3,1700000003.25);
CREATE TABLE orchestrator_code (
	id INTEGER NOT NULL, 
	study_id INTEGER NOT NULL, 
	digest VARCHAR(64) NOT NULL, 
	archive BLOB NOT NULL, 
	author BLOB NOT NULL, 
	added FLOAT NOT NULL, 
	PRIMARY KEY (id), 
	UNIQUE (study_id, digest), 
	FOREIGN KEY(study_id) REFERENCES studies (study_id) ON DELETE CASCADE
);
INSERT INTO "orchestrator_code" VALUES(1,1,'5f544d2bbcff10d30156b3bb2080426e43e90595506444a3ef5b7a353096681e',X'789C6B59999F94959A5C925996BABEA4283133CF0ACE5F9A9699935A3C71D20AB0B85E41E511D594D43405B8BC46495166628EA61597021014A5969416E52918EA19702D2D482CC9289EB860595A7E516E6209230000F42706',X'',1790000000.0);
CREATE TABLE orchestrator_commands (
	id INTEGER NOT NULL, 
	"key" VARCHAR(64) NOT NULL, 
	issuer TEXT NOT NULL, 
	operation VARCHAR(32) NOT NULL, 
	study TEXT NOT NULL, 
	payload TEXT NOT NULL, 
	created FLOAT NOT NULL, 
	answer TEXT, 
	PRIMARY KEY (id), 
	UNIQUE ("key")
);
INSERT INTO "orchestrator_commands" VALUES(1,'key-1','me','pause','kept','{}',1.79607270452806854245e+09,'paused');
INSERT INTO "orchestrator_commands" VALUES(2,'key-2','me','stop','kept','{"now": true}',1.79607270452865672109e+09,NULL);
CREATE TABLE orchestrator_decisions (
	id INTEGER NOT NULL, 
	study_id INTEGER NOT NULL, 
	trial INTEGER NOT NULL, 
	action VARCHAR(16) NOT NULL, 
	rule VARCHAR(64) NOT NULL, 
	step BIGINT NOT NULL, 
	value FLOAT, 
	threshold FLOAT, 
	peers INTEGER NOT NULL, 
	at FLOAT NOT NULL, 
	PRIMARY KEY (id), 
	UNIQUE (study_id, trial, action, step), 
	FOREIGN KEY(study_id) REFERENCES studies (study_id) ON DELETE CASCADE
);
INSERT INTO "orchestrator_decisions" VALUES(1,1,1,'prune','median',1,NULL,NULL,0,1700000004.25);
INSERT INTO "orchestrator_decisions" VALUES(2,1,3,'prune','threshold',2147483647,0.5,0.25,7,1700000005.25);
INSERT INTO "orchestrator_decisions" VALUES(3,1,2,'shadow','asha',3,0.5,-9.0e999,7,1700000005.25);
CREATE TABLE orchestrator_meta (
	schema_version INTEGER NOT NULL, 
	PRIMARY KEY (schema_version)
);
INSERT INTO "orchestrator_meta" VALUES(2);
CREATE TABLE orchestrator_notes (
	id INTEGER NOT NULL, 
	study_id INTEGER NOT NULL, 
	"key" VARCHAR(128) NOT NULL, 
	event VARCHAR(16) NOT NULL, 
	kind VARCHAR(16) NOT NULL, 
	body TEXT NOT NULL, 
	at FLOAT NOT NULL, 
	state VARCHAR(16) NOT NULL, 
	tries INTEGER NOT NULL, 
	detail TEXT NOT NULL, 
	changed FLOAT NOT NULL, 
	PRIMARY KEY (id), 
	FOREIGN KEY(study_id) REFERENCES studies (study_id) ON DELETE CASCADE, 
	UNIQUE ("key")
);
INSERT INTO "orchestrator_notes" VALUES(1,1,'uid:best:0','best','post','{"ä": "😀"}',1700000003.25,'owed',0,'',1700000003.25);
CREATE TABLE orchestrator_redone (
	id INTEGER NOT NULL, 
	study_id INTEGER NOT NULL, 
	trial INTEGER NOT NULL, 
	step BIGINT NOT NULL, 
	value VARCHAR(32) NOT NULL, 
	PRIMARY KEY (id), 
	UNIQUE (study_id, trial, step, value), 
	FOREIGN KEY(study_id) REFERENCES studies (study_id) ON DELETE CASCADE
);
INSERT INTO "orchestrator_redone" VALUES(1,1,2,0,'0.75');
INSERT INTO "orchestrator_redone" VALUES(2,1,2,0,'nan');
INSERT INTO "orchestrator_redone" VALUES(3,1,2,1,'0.5');
CREATE TABLE orchestrator_schedules (
	name VARCHAR(128) NOT NULL, 
	definition TEXT NOT NULL, 
	since BIGINT NOT NULL, 
	PRIMARY KEY (name)
);
INSERT INTO "orchestrator_schedules" VALUES('nightly','{"cron": "0 2 * * *"}',1700000000);
CREATE TABLE orchestrator_slots (
	id INTEGER NOT NULL, 
	schedule VARCHAR(128) NOT NULL, 
	planned BIGINT NOT NULL, 
	state VARCHAR(16) NOT NULL, 
	study VARCHAR(128) NOT NULL, 
	manual BOOLEAN NOT NULL, 
	reason TEXT NOT NULL, 
	report TEXT NOT NULL, 
	decided FLOAT NOT NULL, 
	spec TEXT, result TEXT, 
	PRIMARY KEY (id), 
	UNIQUE (schedule, planned)
);
INSERT INTO "orchestrator_slots" VALUES(1,'nightly',1700010000,'skipped','nightly-1',0,'the run before it went on','',1700000000.25,NULL,'{"state": "finished", "complete": 2, "pruned": 1, "failed": 0, "epochs": 30, "best": 0.25, "best_trial": 1, "front": null}');
INSERT INTO "orchestrator_slots" VALUES(2,'nightly',1700100000,'waiting','nightly-2',1,'','',1700000000.25,'{"format": 1, "name": "nightly-2", "objective": "somewhere:objective", "direction": "minimize", "trials": 6, "max_steps": null, "parallel": null, "lookahead": 1, "seed": 5, "queue": "trials", "catch": [], "grace": 10.0, "stall_timeout": null, "keep_models": null, "args": {}, "sampler": {"name": "tpe"}, "pruner": {"name": "none"}, "shadow": {"name": "none"}, "audit": 0.0, "space": {}, "enqueue": [], "retry": {"max_attempts": 3, "died": null, "lost": null, "out_of_memory": null, "stalled": null, "exception": null, "nan": null, "value": null}, "notify": {"url": null, "endpoint": null, "on": ["finished", "failed"], "command": []}, "schedule": null}',NULL);
CREATE TABLE orchestrator_studies (
	study_id INTEGER NOT NULL, 
	uid VARCHAR(36) NOT NULL, 
	spec TEXT NOT NULL, 
	seed BIGINT NOT NULL, 
	state VARCHAR(16) NOT NULL, 
	reason TEXT NOT NULL, 
	created FLOAT NOT NULL, 
	changed FLOAT NOT NULL, 
	PRIMARY KEY (study_id), 
	FOREIGN KEY(study_id) REFERENCES studies (study_id) ON DELETE CASCADE, 
	UNIQUE (uid)
);
INSERT INTO "orchestrator_studies" VALUES(1,'00000000-0000-0000-0000-000000000001','{"format": 1, "name": "kept", "objective": "somewhere:objective", "direction": "minimize", "trials": 6, "max_steps": null, "parallel": null, "lookahead": 1, "seed": 5, "queue": "trials", "catch": [], "grace": 10.0, "stall_timeout": null, "keep_models": null, "args": {}, "sampler": {"name": "tpe"}, "pruner": {"name": "none"}, "shadow": {"name": "none"}, "audit": 0.0, "space": {}, "enqueue": [], "retry": {"max_attempts": 3, "died": null, "lost": null, "out_of_memory": null, "stalled": null, "exception": null, "nan": null, "value": null}, "notify": {"url": null, "endpoint": null, "on": ["finished", "failed"], "command": []}, "schedule": null}',5,'paused','because',1700000000.25,1700000006.25);
INSERT INTO "orchestrator_studies" VALUES(2,'00000000-0000-0000-0000-000000000002','{"format": 1, "name": "ended", "objective": "somewhere:objective", "direction": "maximize", "trials": 6, "max_steps": null, "parallel": null, "lookahead": 1, "seed": 5, "queue": "trials", "catch": [], "grace": 10.0, "stall_timeout": null, "keep_models": null, "args": {}, "sampler": {"name": "tpe"}, "pruner": {"name": "none"}, "shadow": {"name": "none"}, "audit": 0.0, "space": {"x": {"type": "float", "low": 0.0, "high": 1.0, "log": false, "step": null}}, "enqueue": [], "retry": {"max_attempts": 3, "died": null, "lost": null, "out_of_memory": null, "stalled": null, "exception": null, "nan": null, "value": null}, "notify": {"url": null, "endpoint": null, "on": ["finished", "failed"], "command": []}, "schedule": null}',5,'done','all 0 trials have ended',1700000001.25,1700000002.25);
CREATE TABLE orchestrator_writer (
	id INTEGER NOT NULL, 
	term BIGINT NOT NULL, 
	holder VARCHAR(255) NOT NULL, 
	backend BIGINT, 
	expires FLOAT NOT NULL, 
	PRIMARY KEY (id)
);
INSERT INTO "orchestrator_writer" VALUES(1,1,'',NULL,0.0);
CREATE TABLE studies (
	study_id INTEGER NOT NULL, 
	study_name VARCHAR(512) NOT NULL, 
	PRIMARY KEY (study_id)
);
INSERT INTO "studies" VALUES(1,'kept');
INSERT INTO "studies" VALUES(2,'ended');
INSERT INTO "studies" VALUES(3,'plain');
CREATE TABLE study_directions (
	study_direction_id INTEGER NOT NULL, 
	direction VARCHAR(8) NOT NULL, 
	study_id INTEGER NOT NULL, 
	objective INTEGER NOT NULL, 
	PRIMARY KEY (study_direction_id), 
	UNIQUE (study_id, objective), 
	FOREIGN KEY(study_id) REFERENCES studies (study_id)
);
INSERT INTO "study_directions" VALUES(1,'MINIMIZE',1,0);
INSERT INTO "study_directions" VALUES(2,'MAXIMIZE',2,0);
INSERT INTO "study_directions" VALUES(3,'MINIMIZE',3,0);
CREATE TABLE study_system_attributes (
	study_system_attribute_id INTEGER NOT NULL, 
	study_id INTEGER, 
	"key" VARCHAR(512), 
	value_json TEXT, 
	PRIMARY KEY (study_system_attribute_id), 
	UNIQUE (study_id, "key"), 
	FOREIGN KEY(study_id) REFERENCES studies (study_id)
);
INSERT INTO "study_system_attributes" VALUES(1,1,'rung','3');
CREATE TABLE study_user_attributes (
	study_user_attribute_id INTEGER NOT NULL, 
	study_id INTEGER, 
	"key" VARCHAR(512), 
	value_json TEXT, 
	PRIMARY KEY (study_user_attribute_id), 
	UNIQUE (study_id, "key"), 
	FOREIGN KEY(study_id) REFERENCES studies (study_id)
);
INSERT INTO "study_user_attributes" VALUES(1,1,'owner','"me"');
CREATE TABLE trial_heartbeats (
	trial_heartbeat_id INTEGER NOT NULL, 
	trial_id INTEGER NOT NULL, 
	heartbeat DATETIME NOT NULL, 
	PRIMARY KEY (trial_heartbeat_id), 
	UNIQUE (trial_id), 
	FOREIGN KEY(trial_id) REFERENCES trials (trial_id)
);
CREATE TABLE trial_intermediate_values (
	trial_intermediate_value_id INTEGER NOT NULL, 
	trial_id INTEGER NOT NULL, 
	step INTEGER NOT NULL, 
	intermediate_value FLOAT, 
	intermediate_value_type VARCHAR(7) NOT NULL, 
	PRIMARY KEY (trial_intermediate_value_id), 
	UNIQUE (trial_id, step), 
	FOREIGN KEY(trial_id) REFERENCES trials (trial_id)
);
INSERT INTO "trial_intermediate_values" VALUES(1,1,0,NULL,'NAN');
INSERT INTO "trial_intermediate_values" VALUES(2,1,5,NULL,'INF_POS');
INSERT INTO "trial_intermediate_values" VALUES(3,1,2147483647,0.0,'FINITE');
INSERT INTO "trial_intermediate_values" VALUES(4,2,0,1.0e+308,'FINITE');
INSERT INTO "trial_intermediate_values" VALUES(5,2,1,4.94065645841247e-324,'FINITE');
CREATE TABLE trial_params (
	param_id INTEGER NOT NULL, 
	trial_id INTEGER, 
	param_name VARCHAR(512), 
	param_value FLOAT, 
	distribution_json TEXT, 
	PRIMARY KEY (param_id), 
	UNIQUE (trial_id, param_name), 
	FOREIGN KEY(trial_id) REFERENCES trials (trial_id)
);
INSERT INTO "trial_params" VALUES(1,1,'x',0.1,'{"name": "FloatDistribution", "attributes": {"step": null, "low": 0.0, "high": 1.0, "log": false}}');
INSERT INTO "trial_params" VALUES(2,1,'kind',2.0,'{"name": "CategoricalDistribution", "attributes": {"choices": ["a", "b", null]}}');
INSERT INTO "trial_params" VALUES(3,2,'x',4.94065645841247e-324,'{"name": "FloatDistribution", "attributes": {"step": null, "low": 0.0, "high": 1.0, "log": false}}');
INSERT INTO "trial_params" VALUES(4,5,'x',0.5,'{"name": "FloatDistribution", "attributes": {"step": null, "low": 0.0, "high": 1.0, "log": false}}');
CREATE TABLE trial_system_attributes (
	trial_system_attribute_id INTEGER NOT NULL, 
	trial_id INTEGER, 
	"key" VARCHAR(512), 
	value_json TEXT, 
	PRIMARY KEY (trial_system_attribute_id), 
	UNIQUE (trial_id, "key"), 
	FOREIGN KEY(trial_id) REFERENCES trials (trial_id)
);
INSERT INTO "trial_system_attributes" VALUES(1,3,'nan','1.5');
INSERT INTO "trial_system_attributes" VALUES(2,5,'fixed_params','{"x": 0.5}');
CREATE TABLE trial_user_attributes (
	trial_user_attribute_id INTEGER NOT NULL, 
	trial_id INTEGER, 
	"key" VARCHAR(512), 
	value_json TEXT, 
	PRIMARY KEY (trial_user_attribute_id), 
	UNIQUE (trial_id, "key"), 
	FOREIGN KEY(trial_id) REFERENCES trials (trial_id)
);
INSERT INTO "trial_user_attributes" VALUES(1,1,'note','{"\u00e4": [1, null, "\ud83d\ude00"]}');
CREATE TABLE trial_values (
	trial_value_id INTEGER NOT NULL, 
	trial_id INTEGER NOT NULL, 
	objective INTEGER NOT NULL, 
	value FLOAT, 
	value_type VARCHAR(7) NOT NULL, 
	PRIMARY KEY (trial_value_id), 
	UNIQUE (trial_id, objective), 
	FOREIGN KEY(trial_id) REFERENCES trials (trial_id)
);
INSERT INTO "trial_values" VALUES(1,1,0,-0.5,'FINITE');
INSERT INTO "trial_values" VALUES(2,2,0,1.0e+308,'FINITE');
INSERT INTO "trial_values" VALUES(3,5,0,0.5,'FINITE');
CREATE TABLE trials (
	trial_id INTEGER NOT NULL, 
	number INTEGER, 
	study_id INTEGER, 
	state VARCHAR(8) NOT NULL, 
	datetime_start DATETIME, 
	datetime_complete DATETIME, 
	PRIMARY KEY (trial_id), 
	FOREIGN KEY(study_id) REFERENCES studies (study_id)
);
INSERT INTO "trials" VALUES(1,0,1,'COMPLETE','2023-11-14 22:13:22.250000','2023-11-14 22:13:23.250001');
INSERT INTO "trials" VALUES(2,1,1,'PRUNED','2023-11-14 22:13:22.375000','2023-11-14 22:13:24.250000');
INSERT INTO "trials" VALUES(3,2,1,'RUNNING','2023-11-14 22:13:21.250000',NULL);
INSERT INTO "trials" VALUES(4,3,1,'FAIL','2023-11-14 22:13:21.250000','2023-11-14 22:13:25.250000');
INSERT INTO "trials" VALUES(5,0,3,'COMPLETE','2026-11-30 21:05:04.913737','2026-11-30 21:05:05.025957');
CREATE TABLE version_info (
	version_info_id INTEGER NOT NULL, 
	schema_version INTEGER, 
	library_version VARCHAR(256), 
	PRIMARY KEY (version_info_id), 
	CHECK (version_info_id=1)
);
INSERT INTO "version_info" VALUES(1,12,'5.0.0');
CREATE UNIQUE INDEX ix_studies_study_name ON studies (study_name);
CREATE INDEX ix_trials_study_id ON trials (study_id);
CREATE UNIQUE INDEX orchestrator_one_live_attempt ON orchestrator_attempts (study_id, trial) WHERE state IN ('paused', 'queued', 'running', 'sent', 'stopping');
CREATE INDEX ix_orchestrator_redone_study_id ON orchestrator_redone (study_id);
CREATE INDEX ix_orchestrator_notes_study_id ON orchestrator_notes (study_id);
CREATE INDEX orchestrator_open_slots ON orchestrator_slots (schedule) WHERE state IN ('deleting', 'running', 'waiting');
CREATE TRIGGER orchestrator_forgets AFTER DELETE ON studies BEGIN DELETE FROM orchestrator_attempts WHERE study_id = OLD.study_id; DELETE FROM orchestrator_decisions WHERE study_id = OLD.study_id; DELETE FROM orchestrator_closest WHERE study_id = OLD.study_id; DELETE FROM orchestrator_checkpoints WHERE study_id = OLD.study_id; DELETE FROM orchestrator_redone WHERE study_id = OLD.study_id; DELETE FROM orchestrator_notes WHERE study_id = OLD.study_id; DELETE FROM orchestrator_code WHERE study_id = OLD.study_id; DELETE FROM orchestrator_studies WHERE study_id = OLD.study_id; END;
COMMIT;
