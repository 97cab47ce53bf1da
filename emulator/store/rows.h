/* What the tables' row readers share. */
#ifndef MH_EMULATOR_STORE_ROWS_H
#define MH_EMULATOR_STORE_ROWS_H

#include "emulator/store/store.h"
#include "lib/base/json.h"
#include "lib/base/str.h"

/* A column that holds a UUID, or NULL (then ""). */
void row_uuid(struct stmt *q, int column, char out[STR_UUID_SIZE]);
/* A column that holds JSON of ours; NULL gives NULL. */
int row_json(struct stmt *q, int column, struct json_object **ret,
	     struct mh_err *err) MH_MUST_CHECK;
/* Room for one more item after count, growing by doubling. */
void *row_room(void *items, size_t count, size_t item_size) MH_MUST_CHECK;

#endif
