/* The table of routes. docs/emulator.md has it for users. */
#include "emulator/admin/handlers.h"

/* clang-format off */
const struct admin_route admin_routes[] = {
	{ "GET", "alarms", admin_alarms_get },
	{ "PUT", "alarms", admin_alarms_put },
	{ "GET", "clock", admin_clock_get },
	{ "PUT", "clock", admin_clock_put },
	{ "POST", "clock/advance", admin_clock_advance },
	{ "GET", "faults", admin_faults_get },
	{ "POST", "faults", admin_faults_post },
	{ "DELETE", "faults", admin_faults_clear },
	{ "DELETE", "faults/*", admin_fault_delete },
	{ "GET", "knobs", admin_knobs_get },
	{ "PUT", "knobs", admin_knobs_put },
	{ "GET", "snapshots", admin_snapshots_get },
	{ "POST", "snapshots", admin_snapshots_post },
	{ "DELETE", "snapshots/*", admin_snapshot_delete },
	{ "POST", "snapshots/*/restore", admin_snapshot_restore },
	{ 0 },
};
/* clang-format on */
