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
	NULL,
};

const char *const *const store_migrations[] = {
	&integrations_schema, /* 1 to 2 */
	NULL,
};
/* clang-format on */
