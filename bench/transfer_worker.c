/*
 * The agent's own transfers, and nothing else of the agent: inputs of a job, fetched
 * into a directory as they are for a job; the next job's take their places.
 *
 *	transfer_worker CONFIG DIR KEY COUNT WARM_UP
 *
 * CONFIG is an agent's configuration, DIR one to work in. COUNT objects KEY/0, KEY/1 and
 * so on are fetched, five a job, one job after the other.
 */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent/transfer.h"
#include "bench/report.h"
#include "lib/base/clock.h"
#include "lib/base/fsio.h"
#include "lib/base/json.h"
#include "lib/base/macros.h"

#define PER_JOB 5

struct worker {
	struct loop *loop;
	struct s3 *s3;
	int dir_fd;
	const char *key;
	long count, warm_up, done;
	struct transfer *transfer;
	struct jobdata *data;
	struct cost cost;
	bool measuring;
};

MH_NORETURN static void die(const char *what, const char *why)
{
	fprintf(stderr, "transfer_worker: %s: %s\n", what, why);
	exit(1);
}

static struct jobdata *job(const struct worker *w, long count)
{
	CLEAN(buf) struct buf text = BUF_INIT(64 << 10);
	CLEAN(json) struct json_object *doc = NULL;
	struct mh_err err = MH_ERR_INIT;
	struct jobdata *data;

	buf_puts(&text, "{\"actionTypeId\":{\"category\":\"Build\",\"owner\":\"Custom\","
			"\"provider\":\"Bench\",\"version\":\"1\"},"
			"\"artifactCredentials\":{\"accessKeyId\":\"ASIABENCH\","
			"\"secretAccessKey\":\"secret-of-the-bench\","
			"\"sessionToken\":\"token-of-the-bench\"},"
			"\"outputArtifacts\":[],\"inputArtifacts\":[");
	for (long i = 0; i < count; i++)
		buf_printf(&text,
			   "%s{\"name\":\"In%ld\",\"location\":{\"type\":\"S3\","
			   "\"s3Location\":{\"bucketName\":\"bench-bucket\","
			   "\"objectKey\":\"%s/%ld\"}}}",
			   i ? "," : "", i, w->key, w->done + i);
	buf_puts(&text, "]}");
	if (json_parse_object(buf_text(&text), text.len, &doc, &err) != 0 ||
	    jobdata_new(doc, "0", clock_mono_ms(), &data, &err) != 0)
		die("job data", err.text);
	return data;
}

static void next_job(struct worker *w);

static void on_done(void *ctx, const struct transfer_report *r)
{
	struct worker *w = ctx;

	if (r->end != TRANSFER_DONE)
		die("transfer", r->text);
	for (size_t i = 0; i < w->data->input_count; i++) {
		char file[32];

		(void)snprintf(file, sizeof(file), "fetch/%zu", i);
		if (faccessat(w->dir_fd, file, F_OK, 0) != 0)
			die(file, "is not there");
	}
	w->done += (long)w->data->input_count;
	transfer_free(w->transfer);
	jobdata_free(w->data);
	next_job(w);
}

static void next_job(struct worker *w)
{
	long left = (w->measuring ? w->count : w->warm_up) - w->done;

	if (left <= 0 && w->measuring) {
		cost_print(&w->cost, w->done);
		loop_stop(w->loop);
		return;
	}
	if (left <= 0) {
		w->measuring = true;
		w->done = 0;
		left = w->count;
		cost_begin(&w->cost);
	}
	w->data = job(w, left < PER_JOB ? left : PER_JOB);
	w->transfer = transfer_new_fetch(w->s3, w->dir_fd, INT64_C(1) << 40);
	for (size_t i = 0; i < w->data->input_count; i++)
		transfer_add_input(w->transfer, i, w->data->inputs[i].name);
	transfer_run(w->transfer, w->data, 600000, on_done, w);
}

int main(int argc, char **argv)
{
	struct worker w = { 0 };
	struct settings settings = { 0 };
	struct http_client *http = NULL;
	struct http_options http_options = { .user_agent = "millhand-agent/bench" };
	struct aws *aws;
	struct mh_err err = MH_ERR_INIT;

	if (argc != 6) {
		fputs("usage: transfer_worker CONFIG DIR KEY COUNT WARM_UP\n", stderr);
		return 2;
	}
	w.key = argv[3];
	w.count = strtol(argv[4], NULL, 10);
	w.warm_up = strtol(argv[5], NULL, 10);
	if (settings_read(argv[1], NULL, &settings, &err) != 0 ||
	    fs_open_dir(AT_FDCWD, argv[2], &w.dir_fd, &err) != 0 ||
	    loop_new(&w.loop, &err) != 0 ||
	    http_client_new(w.loop, &http_options, &http, &err) != 0)
		die("start", err.text);
	(void)mkdirat(w.dir_fd, "fetch", 0700); /* may be there */
	aws = aws_new(http, settings.region);
	if (s3_new(aws, &settings, &w.s3, &err) != 0)
		die("start", err.text);
	next_job(&w);
	loop_run(w.loop);
	s3_free(w.s3);
	aws_free(aws);
	http_client_free(http);
	loop_free(w.loop);
	settings_done(&settings);
	return 0;
}
