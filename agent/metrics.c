#include "agent/metrics.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "lib/base/macros.h"

#define PREFIX  "millhand_"
#define BUCKETS 8
#define OTHER   "other"

enum kind { COUNTER, GAUGE, HISTOGRAM };

/* Upper ends in ms. Requests take milliseconds to a minute, jobs seconds to hours. */
static const int64_t request_buckets[BUCKETS] = { 5,    25,   100,   500,
						  2000, 5000, 15000, 60000 };
static const int64_t job_buckets[BUCKETS] = { 100,    1000,    10000,   60000,
					      300000, 1800000, 7200000, 28800000 };

struct family {
	const char *name;
	enum kind kind;
	int scale; /* a value of so many is 1: 1000 for milliseconds shown as seconds */
	const int64_t *buckets; /* of a histogram */
	const char *labels[METRIC_LABELS + 1];
	const char *help;
};

#define SECONDS 1000

static const struct family families[METRIC_COUNT] = {
	[METRIC_BUILD_INFO] = { "build_info",
				GAUGE,
				1,
				NULL,
				{ "version" },
				"Always 1; the label says which version runs." },
	[METRIC_START_TIME] = { "start_time_seconds",
				GAUGE,
				SECONDS,
				NULL,
				{ NULL },
				"When this process started (Unix time)." },
	[METRIC_POLLS] = { "polls_total",
			   COUNTER,
			   1,
			   NULL,
			   { "action_type", "outcome" },
			   "Polls that were answered, or failed: jobs, empty, throttled, "
			   "auth, refused, failed." },
	[METRIC_POLL_DURATION] = { "poll_duration_seconds",
				   HISTOGRAM,
				   SECONDS,
				   request_buckets,
				   { NULL },
				   "From a poll to its answer." },
	[METRIC_POLL_WAIT] = { "poll_wait_seconds",
			       HISTOGRAM,
			       SECONDS,
			       request_buckets,
			       { NULL },
			       "From a poll's answer to the next poll for the same "
			       "action "
			       "type." },
	[METRIC_LAST_POLL] = { "last_successful_poll_timestamp_seconds",
			       GAUGE,
			       SECONDS,
			       NULL,
			       { "action_type" },
			       "When a poll last went well (Unix time); 0: never." },
	[METRIC_API_REQUESTS] = { "api_requests_total",
				  COUNTER,
				  1,
				  NULL,
				  { "op", "code" },
				  "Requests to the service and to the store that were "
				  "answered, or failed, by the code of the answer." },
	[METRIC_API_DURATION] = { "api_request_duration_seconds",
				  HISTOGRAM,
				  SECONDS,
				  request_buckets,
				  { "op" },
				  "From a request to its answer." },
	[METRIC_API_RETRIES] = { "api_retries_total",
				 COUNTER,
				 1,
				 NULL,
				 { "stage" },
				 "What was tried again because it failed: poll, "
				 "acknowledge, fetch, store, report; signature: a "
				 "request after a wrong clock or old keys." },
	[METRIC_THROTTLED] = { "throttled_total",
			       COUNTER,
			       1,
			       NULL,
			       { "op" },
			       "Requests that were refused because there were too "
			       "many." },
	[METRIC_RETRY_QUOTA] = { "retry_quota_tokens",
				 GAUGE,
				 1,
				 NULL,
				 { NULL },
				 "What is left of the retry quota of 500." },
	[METRIC_CLOCK_SKEW] = { "clock_skew_seconds",
				GAUGE,
				SECONDS,
				NULL,
				{ NULL },
				"How far this host's clock is behind the service's." },
	[METRIC_ACKS] = { "ack_total",
			  COUNTER,
			  1,
			  NULL,
			  { "action_type", "outcome" },
			  "Acknowledgements: ok (ours), lost (another worker has the "
			  "job), "
			  "ambiguous (its answer was lost; a later ok, lost or dropped "
			  "settles it), lapsed, dropped." },
	[METRIC_DOUBTS] = { "doubts_settled_total",
			    COUNTER,
			    1,
			    NULL,
			    { "policy", "result" },
			    "Jobs in doubt by how that ended: confirmed (the service "
			    "said "
			    "InProgress), kept or dropped (by in_doubt), lost." },
	[METRIC_JOBS] = { "jobs",
			  GAUGE,
			  1,
			  NULL,
			  { "action_type", "state" },
			  "Jobs by state." },
	[METRIC_JOBS_RUNNING] = { "jobs_running",
				  GAUGE,
				  1,
				  NULL,
				  { NULL },
				  "Jobs whose processes run." },
	[METRIC_JOBS_STARTED] = { "jobs_started_total",
				  COUNTER,
				  1,
				  NULL,
				  { "action_type" },
				  "Jobs that were started here; one that is run again "
				  "counts again." },
	[METRIC_JOBS_ENDED] = { "jobs_ended_total",
				COUNTER,
				1,
				NULL,
				{ "outcome", "failure_type", "reason" },
				"Jobs that were ours and are over, by what was reported "
				"and what became of the report." },
	[METRIC_JOB_DURATION] = { "job_duration_seconds",
				  HISTOGRAM,
				  SECONDS,
				  job_buckets,
				  { "action_type" },
				  "From a job's acknowledgement to its end." },
	[METRIC_JOB_STAGE_DURATION] = { "job_stage_duration_seconds",
					HISTOGRAM,
					SECONDS,
					job_buckets,
					{ "stage" },
					"How long the parts of a job took: acknowledge, "
					"fetch, run, store, report." },
	[METRIC_SLOTS] = { "slots",
			   GAUGE,
			   1,
			   NULL,
			   { "action_type" },
			   "Jobs at once of that action type, as configured." },
	[METRIC_SLOTS_USED] = { "slots_used",
				GAUGE,
				1,
				NULL,
				{ "action_type" },
				"Of those, taken." },
	[METRIC_HOST_SLOTS] = { "host_slots",
				GAUGE,
				1,
				NULL,
				{ NULL },
				"Jobs at once on this host, as configured." },
	[METRIC_HOST_SLOTS_USED] = { "host_slots_used",
				     GAUGE,
				     1,
				     NULL,
				     { NULL },
				     "Of those, taken." },
	[METRIC_ARTIFACT_BYTES] = { "artifact_bytes_total",
				    COUNTER,
				    1,
				    NULL,
				    { "dir" },
				    "Bytes of artifacts: in as received, out as "
				    "stored." },
	[METRIC_ARTIFACT_DURATION] = { "artifact_duration_seconds",
				       HISTOGRAM,
				       SECONDS,
				       job_buckets,
				       { "dir" },
				       "Time of one request that moves an artifact." },
	[METRIC_RESULTS_PENDING] = { "results_pending",
				     GAUGE,
				     1,
				     NULL,
				     { NULL },
				     "Outcomes that the service does not have yet." },
	[METRIC_RESULT_OLDEST] = { "result_oldest_seconds",
				   GAUGE,
				   SECONDS,
				   NULL,
				   { NULL },
				   "Age of the oldest of them; 0: there is none." },
	[METRIC_CREDS_REFRESHES] = { "credentials_refreshes_total",
				     COUNTER,
				     1,
				     NULL,
				     { "outcome" },
				     "The agent's own credentials fetched: ok, failed." },
	[METRIC_CREDS_EXPIRY] = { "credentials_expiry_seconds",
				  GAUGE,
				  SECONDS,
				  NULL,
				  { NULL },
				  "How long the agent's credentials still live; absent "
				  "when "
				  "they have no end." },
	[METRIC_CLIENT_TOKENS] = { "client_token_lookups_total",
				   COUNTER,
				   1,
				   NULL,
				   { "source", "outcome" },
				   "Tokens of third-party clients that were looked up: "
				   "ok, unknown (no such client), failed." },
	[METRIC_LEDGER_COMMITS] = { "ledger_commits_total",
				    COUNTER,
				    1,
				    NULL,
				    { "durable" },
				    "Transactions of the ledger: synced to disk, or "
				    "not." },
	[METRIC_LEDGER_FAILURES] = { "ledger_failures_total",
				     COUNTER,
				     1,
				     NULL,
				     { NULL },
				     "Transactions that could not be written." },
	[METRIC_LEDGER_DURATION] = { "ledger_commit_duration_seconds",
				     HISTOGRAM,
				     SECONDS,
				     request_buckets,
				     { NULL },
				     "Time of one transaction." },
	[METRIC_CONFIG_RELOADS] = { "config_reload_total",
				    COUNTER,
				    1,
				    NULL,
				    { "ok" },
				    "Configurations read again, by whether they were "
				    "taken." },
	[METRIC_DRAINING] = { "draining",
			      GAUGE,
			      1,
			      NULL,
			      { NULL },
			      "1 when no new jobs are taken because the agent is to "
			      "end." },
	[METRIC_PAUSED] = { "paused",
			    GAUGE,
			    1,
			    NULL,
			    { NULL },
			    "1 when no new jobs are taken for another reason (/readyz "
			    "says "
			    "which)." },
	[METRIC_READY] = { "ready", GAUGE, 1, NULL, { NULL }, "What /readyz says." },
	[METRIC_DISK_FREE] = { "disk_free_bytes",
			       GAUGE,
			       1,
			       NULL,
			       { NULL },
			       "Free for the agent on the fuller file system of "
			       "state_dir "
			       "and work_dir." },
	[METRIC_DISK_FREE_INODES] = { "disk_free_inodes",
				      GAUGE,
				      1,
				      NULL,
				      { NULL },
				      "The same for inodes; absent where the file system "
				      "has no such limit." },
	[METRIC_DISK_RESERVE] = { "disk_reserve_bytes",
				  GAUGE,
				  1,
				  NULL,
				  { NULL },
				  "Kept back for results on a full disk; 0: it was used, "
				  "or cannot be had." },
	[METRIC_COLLECTED] = { "directories_collected_total",
			       COUNTER,
			       1,
			       NULL,
			       { NULL },
			       "Directories of finished jobs that were removed early, to "
			       "make room." },
	[METRIC_HEALTH_RUNS] = { "health_command_total",
				 COUNTER,
				 1,
				 NULL,
				 { "outcome" },
				 "Runs of the health command: ok, failed." },
	[METRIC_OPEN_FDS] = { "open_fds",
			      GAUGE,
			      1,
			      NULL,
			      { NULL },
			      "Descriptors that the agent has open." },
	[METRIC_MAX_FDS] = { "max_fds",
			     GAUGE,
			     1,
			     NULL,
			     { NULL },
			     "Descriptors that it may have open." },
	[METRIC_JOBS_BY_FDS] = { "host_slots_by_fds",
				 GAUGE,
				 1,
				 NULL,
				 { NULL },
				 "Jobs at once that the limit of descriptors is enough "
				 "for." },
	[METRIC_RESIDENT] = { "resident_memory_bytes",
			      GAUGE,
			      1,
			      NULL,
			      { NULL },
			      "Resident memory of the agent." },
	[METRIC_CPU] = { "cpu_seconds_total",
			 COUNTER,
			 SECONDS,
			 NULL,
			 { NULL },
			 "Processor time of the agent, without its jobs." },
	[METRIC_LOOP_TURNS] = { "loop_turns_total",
				COUNTER,
				1,
				NULL,
				{ NULL },
				"Turns of the agent's loop: how often it woke up." },
};

struct sample {
	char *labels[METRIC_LABELS]; /* owned */
	uint64_t count[BUCKETS + 1]; /* a counter's is count[0]; not cumulative */
	int64_t value; /* of a gauge; of a histogram the sum in ms */
	struct sample *next;
};

/* In the order in which they came. */
static struct {
	struct sample *first, *last;
	size_t count;
} samples[METRIC_COUNT];

/* --- counting ------------------------------------------------------------------- */

static size_t label_count(enum metric m)
{
	size_t n = 0;

	while (families[m].labels[n])
		n++;
	return n;
}

static bool has_labels(const struct sample *s, const char *const *labels, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		if (strcmp(s->labels[i], labels[i]) != 0)
			return false;
	}
	return true;
}

static struct sample *find_sample(enum metric m, const char *const *labels)
{
	size_t count = label_count(m);

	for (struct sample *s = samples[m].first; s; s = s->next) {
		if (has_labels(s, labels, count))
			return s;
	}
	return NULL;
}

static struct sample *add_sample(enum metric m, const char *const *labels)
{
	struct sample *s = mh_alloc(sizeof(*s));

	for (size_t i = 0; i < label_count(m); i++)
		s->labels[i] = mh_strdup(labels[i]);
	if (samples[m].last)
		samples[m].last->next = s;
	else
		samples[m].first = s;
	samples[m].last = s;
	samples[m].count++;
	return s;
}

static struct sample *sample_of(enum metric m, const char *const *labels)
{
	static const char *const other[METRIC_LABELS] = { OTHER, OTHER, OTHER };
	struct sample *s = find_sample(m, labels);

	if (!s && samples[m].count >= METRIC_SAMPLES_MAX) {
		labels = other;
		s = find_sample(m, labels);
	}
	return s ? s : add_sample(m, labels);
}

void metric_add(enum metric m, uint64_t n, const char *const labels[METRIC_LABELS + 1])
{
	MH_ASSERT(families[m].kind == COUNTER);
	sample_of(m, labels)->count[0] += n;
}

void metric_set(enum metric m, int64_t value, const char *const labels[METRIC_LABELS + 1])
{
	struct sample *s = sample_of(m, labels);

	MH_ASSERT(families[m].kind != HISTOGRAM);
	if (families[m].kind == COUNTER)
		s->count[0] = (uint64_t)value; /* one that the kernel keeps */
	else
		s->value = value;
}

void metric_time(enum metric m, int64_t ms, const char *const labels[METRIC_LABELS + 1])
{
	struct sample *s = sample_of(m, labels);
	size_t i = 0;

	MH_ASSERT(families[m].kind == HISTOGRAM);
	if (ms < 0)
		ms = 0; /* the wall clock was set back */
	while (i < BUCKETS && ms > families[m].buckets[i])
		i++;
	s->count[i]++;
	s->value += ms;
}

static void free_samples(enum metric m)
{
	struct sample *next;

	for (struct sample *s = samples[m].first; s; s = next) {
		next = s->next;
		for (size_t i = 0; i < METRIC_LABELS; i++)
			free(s->labels[i]);
		free(s);
	}
	memset(&samples[m], 0, sizeof(samples[m]));
}

void metrics_clear_gauges(void)
{
	for (enum metric m = 0; m < METRIC_COUNT; m++) {
		if (families[m].kind == GAUGE)
			free_samples(m);
	}
}

void metrics_free(void)
{
	for (enum metric m = 0; m < METRIC_COUNT; m++)
		free_samples(m);
}

/* --- showing -------------------------------------------------------------------- */

static void put_escaped(struct buf *b, const char *value)
{
	for (; *value; value++) {
		if (*value == '\n') {
			buf_puts(b, "\\n");
			continue;
		}
		if (*value == '\\' || *value == '"')
			buf_putc(b, '\\');
		buf_putc(b, *value);
	}
}

static void put_number(struct buf *b, int64_t value, int scale)
{
	uint64_t size = value < 0 ? -(uint64_t)value : (uint64_t)value;

	buf_printf(b, " %s%llu", value < 0 ? "-" : "",
		   (unsigned long long)(size / (uint64_t)scale));
	if (scale > 1)
		buf_printf(b, ".%03llu", (unsigned long long)(size % (uint64_t)scale));
	buf_putc(b, '\n');
}

/* "millhand_x_bucket{stage="run",le="5"}": le NULL where there is none. */
static void put_name(struct buf *b, const struct family *f, const struct sample *s,
		     const char *suffix, const char *le)
{
	size_t n = 0;

	buf_printf(b, PREFIX "%s%s", f->name, suffix);
	for (; f->labels[n]; n++) {
		buf_printf(b, "%s%s=\"", n == 0 ? "{" : ",", f->labels[n]);
		put_escaped(b, s->labels[n]);
		buf_putc(b, '"');
	}
	if (le)
		buf_printf(b, "%sle=\"%s\"", n++ == 0 ? "{" : ",", le);
	if (n > 0)
		buf_putc(b, '}');
}

static void put_histogram(struct buf *b, const struct family *f, const struct sample *s)
{
	uint64_t total = 0;
	char le[32];

	for (size_t i = 0; i <= BUCKETS; i++) {
		if (i < BUCKETS)
			(void)snprintf(le, sizeof(le), "%g",
				       (double)f->buckets[i] / 1000.0);
		total += s->count[i];
		put_name(b, f, s, "_bucket", i < BUCKETS ? le : "+Inf");
		put_number(b, (int64_t)total, 1);
	}
	put_name(b, f, s, "_sum", NULL);
	put_number(b, s->value, f->scale);
	put_name(b, f, s, "_count", NULL);
	put_number(b, (int64_t)total, 1);
}

static void put_family(struct buf *b, enum metric m)
{
	static const char *const kinds[] = {
		[COUNTER] = "counter", [GAUGE] = "gauge", [HISTOGRAM] = "histogram"
	};
	const struct family *f = &families[m];

	if (!samples[m].first)
		return;
	buf_printf(b, "# HELP " PREFIX "%s %s\n# TYPE " PREFIX "%s %s\n", f->name,
		   f->help, f->name, kinds[f->kind]);
	for (const struct sample *s = samples[m].first; s; s = s->next) {
		if (f->kind == HISTOGRAM) {
			put_histogram(b, f, s);
			continue;
		}
		put_name(b, f, s, "", NULL);
		put_number(b, f->kind == GAUGE ? s->value : (int64_t)s->count[0],
			   f->scale);
	}
}

void metrics_text(struct buf *b)
{
	for (enum metric m = 0; m < METRIC_COUNT; m++)
		put_family(b, m);
}
