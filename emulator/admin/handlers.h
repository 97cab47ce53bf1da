/* The handlers of the admin interface, a file for each concern. */
#ifndef MH_EMULATOR_ADMIN_HANDLERS_H
#define MH_EMULATOR_ADMIN_HANDLERS_H

#include "emulator/admin/admin.h"

#define ADMIN_HANDLER(name)                                                              \
	int name(const struct admin_call *call, struct json_object *out,                 \
		 struct api_error *err)

/* alarms.c: what CloudWatch would say */
ADMIN_HANDLER(admin_alarms_get);
ADMIN_HANDLER(admin_alarms_put);
/* clock.c: the virtual clock */
ADMIN_HANDLER(admin_clock_get);
ADMIN_HANDLER(admin_clock_put);
ADMIN_HANDLER(admin_clock_advance);
/* faults.c */
ADMIN_HANDLER(admin_faults_get);
ADMIN_HANDLER(admin_faults_post);
ADMIN_HANDLER(admin_faults_clear);
ADMIN_HANDLER(admin_fault_delete);

/* knobs.c */
ADMIN_HANDLER(admin_knobs_get);
ADMIN_HANDLER(admin_knobs_put);
/* snapshots.c */
ADMIN_HANDLER(admin_snapshots_get);
ADMIN_HANDLER(admin_snapshots_post);
ADMIN_HANDLER(admin_snapshot_delete);
ADMIN_HANDLER(admin_snapshot_restore);

#endif
