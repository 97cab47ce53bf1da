/* Every table module's schema. Order does not matter: SQLite resolves foreign keys late.
 */
#include "emulator/store/action_executions.h"
#include "emulator/store/action_types.h"
#include "emulator/store/approvals.h"
#include "emulator/store/executions.h"
#include "emulator/store/integrations.h"
#include "emulator/store/jobs.h"
#include "emulator/store/multipart.h"
#include "emulator/store/objects.h"
#include "emulator/store/pipelines.h"
#include "emulator/store/stage_executions.h"
#include "emulator/store/store.h"
#include "emulator/store/timers.h"
#include "emulator/store/transitions.h"

/* clang-format off */
const char *const *const store_schemas[] = {
	&store_action_types_schema,
	&integrations_schema,
	&store_multipart_schema,
	&store_objects_schema,
	&store_pipelines_schema,
	&executions_schema,
	&stage_executions_schema,
	&action_executions_schema,
	&artifacts_schema,
	&jobs_schema,
	&approvals_schema,
	&timers_schema,
	&transitions_schema,
	&transitions_outbound_schema,
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

const char *const *const store_migrations[] = {
	&to_2,
	&to_3,
	NULL,
};
/* clang-format on */
