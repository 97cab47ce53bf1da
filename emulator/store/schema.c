/* Every table module's schema. Order does not matter: SQLite resolves foreign keys late.
 */
#include "emulator/store/store.h"

const char *const *const store_schemas[] = {
	NULL,
};
