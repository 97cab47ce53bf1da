/* What the tables' row readers share. */
#include "emulator/store/rows.h"

#include <stdio.h>
#include <string.h>

void row_uuid(struct stmt *q, int column, char out[STR_UUID_SIZE])
{
	const char *text = stmt_text(q, column);

	(void)snprintf(out, STR_UUID_SIZE, "%s", text ? text : ""); /* ours: it fits */
}

int row_json(struct stmt *q, int column, struct json_object **ret, struct mh_err *err)
{
	const char *text = stmt_text(q, column);

	if (!text) {
		*ret = NULL;
		return 0;
	}
	if (json_parse(text, strlen(text), ret, err) != 0)
		return mh_err_wrap(err, "the database holds broken JSON");
	return 0;
}

void *row_room(void *items, size_t count, size_t item_size)
{
	/* count is full at 0 and at each power of two. */
	if ((count & (count - 1)) != 0)
		return items;
	return mh_realloc(items, (count ? 2 * count : 1) * item_size);
}
