/* Every table module's schema. Order does not matter: SQLite resolves foreign keys late.
 */
#include "emulator/store/action_executions.h"
#include "emulator/store/action_types.h"
#include "emulator/store/approvals.h"
#include "emulator/store/conditions.h"
#include "emulator/store/events.h"
#include "emulator/store/executions.h"
#include "emulator/store/integrations.h"
#include "emulator/store/jobs.h"
#include "emulator/store/marks.h"
#include "emulator/store/multipart.h"
#include "emulator/store/objects.h"
#include "emulator/store/pipelines.h"
#include "emulator/store/sources.h"
#include "emulator/store/stage_executions.h"
#include "emulator/store/store.h"
#include "emulator/store/timers.h"
#include "emulator/store/transitions.h"
#include "emulator/store/webhooks.h"
#include "emulator/store/versions.h"

/* clang-format off */
const char *const *const store_schemas[] = {
	&store_action_types_schema,
	&events_schema,
	&integrations_schema,
	&marks_schema,
	&store_multipart_schema,
	&store_objects_schema,
	&store_versions_schema,
	&store_pipelines_schema,
	&executions_schema,
	&stage_executions_schema,
	&action_executions_schema,
	&artifacts_schema,
	&conditions_schema,
	&alarms_schema,
	&jobs_schema,
	&approvals_schema,
	&timers_schema,
	&transitions_schema,
	&transitions_outbound_schema,
	&sources_schema,
	&webhooks_schema,
	NULL,
};

/* Each stays as it was written: it speaks of the tables as they were then. */
static const char *const to_2 =
	"CREATE TABLE integrations (type TEXT PRIMARY KEY, declaration TEXT NOT NULL)"
	" WITHOUT ROWID;";
static const char *const to_3 =
	"ALTER TABLE executions ADD COLUMN stop_abandons INTEGER NOT NULL DEFAULT 0;"
	"ALTER TABLE executions ADD COLUMN stop_reason TEXT;"
	"ALTER TABLE stage_executions ADD COLUMN first_action INTEGER NOT NULL DEFAULT 0;"
	"ALTER TABLE stage_executions ADD COLUMN manual_retries INTEGER NOT NULL DEFAULT 0;"
	"CREATE TABLE outbound_transitions (pipeline TEXT NOT NULL, stage TEXT NOT NULL,"
	" PRIMARY KEY (pipeline, stage)) WITHOUT ROWID;";
static const char *const to_4 =
	"ALTER TABLE s3_bucket ADD COLUMN versioning TEXT NOT NULL DEFAULT '';"
	"ALTER TABLE s3_object ADD COLUMN tags TEXT;"
	"ALTER TABLE s3_object ADD COLUMN version_id TEXT NOT NULL DEFAULT 'null';"
	"ALTER TABLE s3_object ADD COLUMN rank INTEGER NOT NULL DEFAULT 0;"
	"ALTER TABLE s3_multipart ADD COLUMN tags TEXT;"
	"ALTER TABLE s3_part ADD COLUMN checksum TEXT;"
	"DROP INDEX s3_multipart_by_key;"
	"CREATE INDEX s3_multipart_by_key ON s3_multipart (bucket, key, id);"
	"CREATE TABLE s3_version (bucket TEXT NOT NULL REFERENCES s3_bucket (name),"
	" key TEXT NOT NULL, rank INTEGER NOT NULL, version_id TEXT NOT NULL,"
	" file_id TEXT UNIQUE, etag TEXT, size INTEGER NOT NULL DEFAULT 0,"
	" modified_ms INTEGER NOT NULL, content_type TEXT, metadata TEXT, headers TEXT,"
	" tags TEXT, PRIMARY KEY (bucket, key, rank)) WITHOUT ROWID;"
	"CREATE UNIQUE INDEX s3_version_by_id ON s3_version (bucket, key, version_id);";
static const char *const to_5 =
	"CREATE TABLE marks (name TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;";
/* What executions took from their sources, and what pipelines watch, is in their rows
 * already. */
static const char *const to_6 =
	"ALTER TABLE executions ADD COLUMN origin TEXT;"
	"CREATE TABLE source_revisions (pipeline TEXT NOT NULL, action TEXT NOT NULL,"
	" revision TEXT NOT NULL,"
	" execution INTEGER NOT NULL REFERENCES executions (seq) ON DELETE CASCADE,"
	" PRIMARY KEY (pipeline, action, revision)) WITHOUT ROWID;"
	"CREATE INDEX source_revisions_by_execution ON source_revisions (execution);"
	"INSERT OR REPLACE INTO source_revisions SELECT pipeline, action, revision_id,"
	" execution FROM action_executions WHERE revision_id IS NOT NULL"
	" AND json_extract(type, '$.category') = 'Source' ORDER BY seq;"
	"CREATE TABLE source_watches (source TEXT NOT NULL, pipeline TEXT NOT NULL,"
	" PRIMARY KEY (source, pipeline)) WITHOUT ROWID;"
	"CREATE INDEX source_watches_by_pipeline ON source_watches (pipeline);"
	"INSERT OR IGNORE INTO source_watches"
	" SELECT CASE json_extract(a.value, '$.actionTypeId.provider')"
	" WHEN 'CodeCommit' THEN 'git:'"
	" || json_extract(a.value, '$.configuration.RepositoryName')"
	" WHEN 'CodeStarSourceConnection' THEN 'git:'"
	" || json_extract(a.value, '$.configuration.FullRepositoryId')"
	" ELSE 's3:' || json_extract(a.value, '$.configuration.S3Bucket') || '/'"
	" || json_extract(a.value, '$.configuration.S3ObjectKey') END, p.name"
	" FROM pipelines p JOIN pipeline_versions v ON v.pipeline = p.id"
	" AND v.version = p.version, json_each(v.declaration, '$.stages[0].actions') a"
	" WHERE json_extract(a.value, '$.actionTypeId.owner') = 'AWS'"
	" AND json_extract(a.value, '$.actionTypeId.provider') IN"
	" ('CodeCommit', 'CodeStarSourceConnection', 'S3');"
	"CREATE TABLE source_refs (repository TEXT PRIMARY KEY, refs TEXT NOT NULL)"
	" WITHOUT ROWID;"
	"CREATE TABLE schedules (name TEXT PRIMARY KEY, due_ms INTEGER NOT NULL)"
	" WITHOUT ROWID;"
	"CREATE INDEX schedules_by_due ON schedules (due_ms, name);"
	"CREATE TABLE webhooks (name TEXT PRIMARY KEY, token TEXT NOT NULL UNIQUE,"
	" definition TEXT NOT NULL, secret TEXT, tags TEXT, error_code TEXT,"
	" error_message TEXT, triggered_ms INTEGER NOT NULL DEFAULT 0) WITHOUT ROWID;";
static const char *const to_7 =
	"ALTER TABLE executions ADD COLUMN attempt INTEGER NOT NULL DEFAULT 1;"
	"ALTER TABLE stage_executions ADD COLUMN retried_ms INTEGER NOT NULL DEFAULT 0;"
	"CREATE TABLE events (seq INTEGER PRIMARY KEY AUTOINCREMENT, topic TEXT,"
	" body TEXT NOT NULL);";

/* What had not begun with its actions has yet to pass its entry. */
static const char *const to_8 =
	"ALTER TABLE executions ADD COLUMN rollback_target TEXT;"
	"ALTER TABLE stage_executions ADD COLUMN auto_retries INTEGER NOT NULL DEFAULT 0;"
	"ALTER TABLE stage_executions ADD COLUMN retried_by_itself INTEGER NOT NULL DEFAULT 0;"
	"ALTER TABLE stage_executions ADD COLUMN phase TEXT NOT NULL DEFAULT 'actions';"
	"ALTER TABLE stage_executions ADD COLUMN condition INTEGER NOT NULL DEFAULT 0;"
	"UPDATE stage_executions SET phase = 'entry' WHERE NOT EXISTS (SELECT 1 FROM"
	" action_executions a WHERE a.stage_execution = stage_executions.seq);"
	"ALTER TABLE action_executions ADD COLUMN condition INTEGER NOT NULL DEFAULT 0;"
	"CREATE INDEX action_executions_by_condition ON action_executions (condition, seq)"
	" WHERE condition <> 0;"
	"CREATE INDEX action_executions_rules ON action_executions (pipeline, seq)"
	" WHERE condition <> 0;"
	"CREATE INDEX action_executions_rules_running ON action_executions (seq)"
	" WHERE condition <> 0 AND status = 'InProgress';"
	"CREATE TABLE conditions (seq INTEGER PRIMARY KEY, execution INTEGER NOT NULL"
	" REFERENCES executions (seq) ON DELETE CASCADE, stage_execution INTEGER NOT NULL,"
	" pipeline TEXT NOT NULL, stage TEXT NOT NULL, phase TEXT NOT NULL,"
	" locked INTEGER NOT NULL, status TEXT NOT NULL, summary TEXT,"
	" status_ms INTEGER NOT NULL);"
	"CREATE INDEX conditions_by_execution ON conditions (execution);"
	"CREATE INDEX conditions_by_stage ON conditions (pipeline, stage, phase, seq);"
	"CREATE TABLE alarms (name TEXT PRIMARY KEY, state TEXT NOT NULL,"
	" changed_ms INTEGER NOT NULL) WITHOUT ROWID;";
static const char *const to_9 =
	"ALTER TABLE jobs ADD COLUMN acked_by TEXT;"
	"ALTER TABLE jobs ADD COLUMN result TEXT;";

const char *const *const store_migrations[] = {
	&to_2,
	&to_3,
	&to_4,
	&to_5,
	&to_6,
	&to_7,
	&to_8,
	&to_9,
	NULL,
};
/* clang-format on */
