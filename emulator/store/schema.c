/* Every table module's schema. Order does not matter: SQLite resolves foreign keys late.
 */
#include "emulator/store/action_types.h"
#include "emulator/store/objects.h"
#include "emulator/store/pipelines.h"
#include "emulator/store/store.h"

const char *const *const store_schemas[] = {
	&store_action_types_schema,
	&store_objects_schema,
	&store_pipelines_schema,
	NULL,
};
