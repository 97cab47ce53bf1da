/*
 * The least a worker over libcurl can cost: poll, acknowledge, report, one reused easy
 * handle, prebuilt headers, nothing signed, nothing parsed but the jobs' ids.
 *
 *	raw_worker ENDPOINT BATCH WARM_UP JOBS [long]    (BATCH 0: JOBS empty polls)
 *
 * long: with headers as long as a signature's, always the same ones. Prints one JSON
 * object: what JOBS jobs cost after WARM_UP jobs.
 */
#include <curl/curl.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "bench/report.h"
#include "lib/base/buf.h"
#include "lib/base/macros.h"

#define ANSWER_MAX (4 << 20)
#define BATCH_MAX  100
#define ID_LEN     36

struct worker {
	CURL *easy;
	struct buf answer;
	struct curl_slist *poll, *ack, *success;
};

static size_t take(char *data, size_t size, size_t count, void *ctx)
{
	struct mh_err err;

	return buf_add(ctx, data, size * count, &err) == 0 ? size * count : 0;
}

static struct curl_slist *headers_for(const char *operation, bool as_long)
{
	static const char *const signature[] = {
		"User-Agent: millhand-agent/0.1.0",
		"x-amz-date: 20260101T000000Z",
		"Authorization: AWS4-HMAC-SHA256 Credential=test/20260101/us-east-1/"
		"codepipeline/aws4_request, "
		"SignedHeaders=content-type;host;x-amz-date;x-amz-target, Signature="
		"0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef",
	};
	CLEAN(free)
	char *target = mh_format("X-Amz-Target: CodePipeline_20150709.%s", operation);
	struct curl_slist *list = curl_slist_append(
		NULL, "Content-Type: application/x-amz-json-1.1");

	list = curl_slist_append(list, target);
	list = curl_slist_append(list, "Accept:");
	list = curl_slist_append(list, "Expect:");
	for (size_t i = 0; as_long && i < ARRAY_LEN(signature); i++)
		list = curl_slist_append(list, signature[i]);
	MH_ASSERT(list);
	return list;
}

static void start(struct worker *w, const char *endpoint, bool as_long)
{
	w->easy = curl_easy_init();
	MH_ASSERT(w->easy);
	buf_init(&w->answer, ANSWER_MAX);
	w->poll = headers_for("PollForJobs", as_long);
	w->ack = headers_for("AcknowledgeJob", as_long);
	w->success = headers_for("PutJobSuccessResult", as_long);
	(void)curl_easy_setopt(w->easy, CURLOPT_URL, endpoint);
	(void)curl_easy_setopt(w->easy, CURLOPT_PROXY, "");
	(void)curl_easy_setopt(w->easy, CURLOPT_NOSIGNAL, 1L);
	(void)curl_easy_setopt(w->easy, CURLOPT_WRITEFUNCTION, take);
	(void)curl_easy_setopt(w->easy, CURLOPT_WRITEDATA, &w->answer);
}

static void stop(struct worker *w)
{
	curl_easy_cleanup(w->easy);
	curl_slist_free_all(w->poll);
	curl_slist_free_all(w->ack);
	curl_slist_free_all(w->success);
	buf_done(&w->answer);
}

static void call(struct worker *w, struct curl_slist *headers, const char *body)
{
	long status = 0;

	buf_clear(&w->answer);
	(void)curl_easy_setopt(w->easy, CURLOPT_HTTPHEADER, headers);
	(void)curl_easy_setopt(w->easy, CURLOPT_POSTFIELDS, body);
	if (curl_easy_perform(w->easy) != CURLE_OK ||
	    curl_easy_getinfo(w->easy, CURLINFO_RESPONSE_CODE, &status) != CURLE_OK ||
	    status != 200) {
		fputs("raw_worker: a request failed\n", stderr);
		exit(1);
	}
}

/* Polls and works off what came; answers how many jobs that were. */
static int turn(struct worker *w, int batch)
{
	char ids[BATCH_MAX][ID_LEN + 1];
	char body[256];
	int count = 0;

	(void)snprintf(body, sizeof(body),
		       "{\"actionTypeId\":{\"category\":\"Build\",\"owner\":\"Custom\","
		       "\"provider\":\"Bench\",\"version\":\"1\"},\"maxBatchSize\":%d}",
		       batch);
	call(w, w->poll, body);
	for (const char *at = buf_text(&w->answer);
	     count < batch && (at = strstr(at, "\"id\":\"")) != NULL; count++) {
		at += 6;
		memcpy(ids[count], at, ID_LEN);
		ids[count][ID_LEN] = '\0';
	}
	for (int i = 0; i < count; i++) {
		(void)snprintf(body, sizeof(body),
			       "{\"jobId\":\"%.36s\",\"nonce\":\"3\"}", ids[i]);
		call(w, w->ack, body);
		(void)snprintf(body, sizeof(body), "{\"jobId\":\"%.36s\"}", ids[i]);
		call(w, w->success, body);
	}
	return count;
}

static void work(struct worker *w, int batch, long jobs)
{
	for (long done = 0; done < jobs;)
		done += batch > 0 ? turn(w, batch) : 1 + turn(w, 1);
}

int main(int argc, char **argv)
{
	struct worker w = { 0 };
	struct cost cost;
	int batch;

	if (argc < 5 || argc > 6) {
		fputs("usage: raw_worker ENDPOINT BATCH WARM_UP JOBS [long]\n", stderr);
		return 2;
	}
	batch = (int)strtol(argv[2], NULL, 10);
	MH_ASSERT(batch <= BATCH_MAX);
	start(&w, argv[1], argc == 6);
	work(&w, batch, strtol(argv[3], NULL, 10));
	cost_begin(&cost);
	work(&w, batch, strtol(argv[4], NULL, 10));
	cost_print(&cost, strtol(argv[4], NULL, 10));
	stop(&w);
	return 0;
}
