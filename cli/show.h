/* Answers of the agent as text for people. Nothing that came from outside can move a
 * terminal's cursor, or forge a line. */
#ifndef MH_CLI_SHOW_H
#define MH_CLI_SHOW_H

#include <stdio.h>

#include "lib/base/json.h"

void show_status(FILE *out, struct json_object *answer);
void show_jobs(FILE *out, struct json_object *answer);

/* One text, with what is not printable replaced. */
void show_text(FILE *out, const char *text);

#endif
