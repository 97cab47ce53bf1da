#include "cli/show.h"

#include <inttypes.h>
#include <string.h>

#include "lib/base/macros.h"
#include "lib/base/str.h"

#define SECOND      1000
#define MINUTE      (60 * SECOND)
#define HOUR        (60 * MINUTE)
#define DAY         (24 * HOUR)
#define NAME_COLUMN "%-10s"
#define SPAN_SIZE   32

/* The bytes of the character at s, or 0 when it is none that may be shown: control
 * characters (C1 too), and what changes the direction of writing. */
static size_t shown(const char *s)
{
	const unsigned char *u = (const unsigned char *)s;
	size_t len = *u < 0x80 ? 1 : *u < 0xe0 ? 2 : *u < 0xf0 ? 3 : 4;

	if (*u < ' ' || *u == 0x7f || strnlen(s, len) < len || !str_is_utf8(s, len))
		return 0;
	if (u[0] == 0xc2 && u[1] < 0xa0)
		return 0;
	if (u[0] == 0xe2 && u[1] == 0x80 &&
	    (u[2] == 0x8e || u[2] == 0x8f || u[2] >= 0xa8))
		return 0;
	if (u[0] == 0xe2 && u[1] == 0x81 && u[2] >= 0xa0 && u[2] <= 0xaf)
		return 0;
	return len;
}

void show_text(FILE *out, const char *text)
{
	while (*text) {
		size_t len = shown(text);

		if (len > 0)
			(void)fwrite(text, 1, len,
				     out); /* ferror() is asked at the end */
		else
			fputc('?', out);
		text += len ? len : 1;
	}
}

/* "12.3s", "4m 05s", "3h 12m", "2d 4h" */
static void format_span(int64_t ms, char ret[SPAN_SIZE])
{
	const char *sign = ms < 0 ? "-" : "";
	int64_t t = ms < 0 ? -ms : ms;

	if (t < MINUTE)
		(void)snprintf(ret, SPAN_SIZE, "%s%.1fs", sign, (double)t / SECOND);
	else if (t < HOUR)
		(void)snprintf(ret, SPAN_SIZE, "%s%" PRId64 "m %02" PRId64 "s", sign,
			       t / MINUTE, t % MINUTE / SECOND);
	else if (t < DAY)
		(void)snprintf(ret, SPAN_SIZE, "%s%" PRId64 "h %02" PRId64 "m", sign,
			       t / HOUR, t % HOUR / MINUTE);
	else
		(void)snprintf(ret, SPAN_SIZE, "%s%" PRId64 "d %" PRId64 "h", sign,
			       t / DAY, t % DAY / HOUR);
}

/* --- status
 * -------------------------------------------------------------------------------- */

static void line_of(FILE *out, const char *name, const char *text)
{
	if (!text)
		return;
	fprintf(out, NAME_COLUMN " ", name);
	show_text(out, text);
	fputc('\n', out);
}

static const char *mode_words(const char *mode)
{
	static const struct {
		const char *mode, *words;
	} table[] = {
		{ "run", "running" },
		{ "paused", "drained: takes no new jobs until it is resumed" },
		{ "drain", "ending when its jobs are done" },
		{ "cancel", "ending, its jobs are cancelled" },
		{ "handover", "handing over" },
	};

	for (size_t i = 0; i < ARRAY_LEN(table); i++) {
		if (strcmp(table[i].mode, mode) == 0)
			return table[i].words;
	}
	return mode;
}

static void show_counts(FILE *out, const char *name, struct json_object *counts)
{
	const char *comma = "";

	fprintf(out, NAME_COLUMN, name);
	if (counts) {
		json_object_object_foreach(counts, key, value)
		{
			if (json_object_get_int64(value) == 0)
				continue;
			fprintf(out, "%s %" PRId64 " ", comma,
				json_object_get_int64(value));
			show_text(out, key);
			comma = ",";
		}
	}
	fputs(*comma ? "\n" : " none\n", out);
}

static void show_action(FILE *out, struct json_object *action)
{
	int64_t max = json_opt_i64(action, "max_jobs", 0);

	fputs("  ", out);
	show_text(out, json_opt_str(action, "entry", "?"));
	fprintf(out, ": %" PRId64, json_opt_i64(action, "jobs", 0));
	if (max > 0)
		fprintf(out, " of %" PRId64, max);
	fputs(json_opt_i64(action, "jobs", 0) == 1 && max == 0 ? " job" : " jobs", out);
	fputs(json_opt_bool(action, "failing", false) ? ", polling fails\n" : "\n", out);
}

void show_status(FILE *out, struct json_object *answer)
{
	struct json_object *actions = json_opt_array(answer, "actions");
	const char *why = json_opt_str(answer, "no_polls", NULL);
	char up[SPAN_SIZE];

	format_span(json_opt_i64(answer, "uptime_ms", 0), up);
	fputs("millhand-agent ", out);
	show_text(out, json_opt_str(answer, "version", "?"));
	fprintf(out, ", pid %" PRId64 ", up %s: ", json_opt_i64(answer, "pid", 0), up);
	show_text(out, mode_words(json_opt_str(answer, "mode", "?")));
	fputc('\n', out);
	line_of(out, "config", json_opt_str(answer, "config", NULL));
	line_of(out, "endpoint", json_opt_str(answer, "endpoint", "AWS"));
	line_of(out, "region", json_opt_str(answer, "region", NULL));
	line_of(out, "state_dir", json_opt_str(answer, "state_dir", NULL));
	line_of(out, "polling", why ? why : "yes");
	fprintf(out, NAME_COLUMN " %" PRId64 " of %" PRId64 " in use\n", "slots",
		json_opt_i64(answer, "slots_used", 0), json_opt_i64(answer, "slots", 0));
	show_counts(out, "jobs", json_opt_object(answer, "jobs"));
	show_counts(out, "ended", json_opt_object(answer, "ended"));
	fputs("actions\n", out);
	for (size_t i = 0; actions && i < json_object_array_length(actions); i++)
		show_action(out, json_object_array_get_idx(actions, i));
}

/* --- jobs
 * ------------------------------------------------------------------------------------ */

static void show_job(FILE *out, struct json_object *job)
{
	char age[SPAN_SIZE], left[SPAN_SIZE] = "-";

	format_span(json_opt_i64(job, "age_ms", 0), age);
	if (json_opt_i64(job, "left_ms", INT64_MIN) != INT64_MIN)
		format_span(json_opt_i64(job, "left_ms", 0), left);
	fprintf(out, "%-6" PRId64 " %-10s %-9s %-9s ", json_opt_i64(job, "n", 0),
		json_opt_bool(job, "cancelled", false) ? "cancelled"
						       : json_opt_str(job, "state", "?"),
		age, left);
	show_text(out, json_opt_str(job, "id", "?"));
	fputs("  ", out);
	show_text(out, json_opt_str(job, "entry", "?"));
	fputs("  ", out);
	show_text(out, json_opt_str(job, "pipeline", "?"));
	fputc('/', out);
	show_text(out, json_opt_str(job, "stage", "?"));
	fputc('/', out);
	show_text(out, json_opt_str(job, "action", "?"));
	fputc('\n', out);
}

void show_jobs(FILE *out, struct json_object *answer)
{
	struct json_object *jobs = json_opt_array(answer, "jobs");
	size_t count = jobs ? json_object_array_length(jobs) : 0;

	if (count == 0) {
		fputs("no jobs\n", out);
		return;
	}
	fprintf(out, "%-6s %-10s %-9s %-9s %-36s  %s  %s\n", "NUMBER", "STATE", "AGE",
		"LEFT", "ID", "ENTRY", "PIPELINE/STAGE/ACTION");
	for (size_t i = 0; i < count; i++)
		show_job(out, json_object_array_get_idx(jobs, i));
}
