/*
 * Answers of PollForJobs, AcknowledgeJob, GetJobDetails and ListActionExecutions, read
 * from one text. Every job the agent takes becomes a job spec that the shim takes.
 */
#include <stdio.h>

#include "agent/cp_api.h"
#include "agent/job/spec.h"
#include "agent/spec.h"
#include "lib/base/json.h"
#include "tests/fuzz/fuzz.h"

#define ID     "11111111-2222-3333-4444-555555555555"
#define OFFERS 4

static char build[] = "Build", custom[] = "Custom", make[] = "Make", one[] = "1";
static char plugin[] = "command", plugins[] = "/p", programs[] = "/l";
static const struct action_settings action = { .category = build,
					       .owner = custom,
					       .provider = make,
					       .version = one,
					       .plugin = plugin,
					       .grace_ms = 1000,
					       .sandbox = { .processes = 10 } };
static const struct settings settings = { .plugin_dir = plugins,
					  .libexec_dir = programs,
					  .log_max_bytes = 4096,
					  .allow_command_from_pipeline = true };

static void check_artifact(const struct artifact *a)
{
	MH_ASSERT(*a->name && !strchr(a->name, '/') && !strchr(a->name, '.'));
	MH_ASSERT(*a->bucket && !strchr(a->bucket, '/') && *a->key);
}

static void hand_on(const struct jobdata *d)
{
	struct spec_input in = { .settings = &settings,
				 .action = &action,
				 .data = d,
				 .job_id = ID,
				 .n = 1,
				 .deadline_ms = 1,
				 .work_dir = "/w/1" };
	CLEAN(json) struct json_object *doc = NULL;
	CLEAN(spec) struct spec s = { .doc = NULL };
	struct mh_err err = MH_ERR_INIT;
	const char *text;

	for (size_t i = 0; i < d->input_count; i++)
		check_artifact(&d->inputs[i]);
	for (size_t i = 0; i < d->output_count; i++)
		check_artifact(&d->outputs[i]);
	MH_ASSERT(!json_object_object_get_ex(d->doc, "artifactCredentials", NULL));
	if (spec_check(&settings, &action, d, &err) != 0)
		return;
	doc = spec_build(&in);
	text = json_text(doc);
	if (spec_parse(text, strlen(text), &s, &err) != 0) {
		(void)fprintf(stderr, "%s\n", err.text);
		MH_BUG("the shim refuses the spec of a job that the agent took");
	}
	MH_ASSERT(s.input_count == d->input_count && s.output_count == d->output_count);
}

static void read_third_offers(struct json_object *body)
{
	static char owner[] = "ThirdParty";
	struct action_settings third = action;
	struct cp_offer offers[OFFERS];
	struct mh_err why = MH_ERR_INIT, err = MH_ERR_INIT;
	size_t count = 0, bad = 0;

	third.owner = owner;
	if (cp_read_offers(body, &third, OFFERS, 5, offers, &count, &bad, &why, &err) !=
	    0)
		return;
	for (size_t i = 0; i < count; i++)
		MH_ASSERT(*offers[i].id && str_is_uuid(offers[i].client_id) &&
			  !offers[i].data);
}

static void read_offers(struct json_object *body)
{
	struct cp_offer offers[OFFERS];
	struct mh_err why = MH_ERR_INIT, err = MH_ERR_INIT;
	size_t count = 0, bad = 0;

	if (cp_read_offers(body, &action, OFFERS, 5, offers, &count, &bad, &why, &err) !=
	    0)
		return;
	MH_ASSERT(count <= OFFERS && (bad == 0 || *why.text));
	for (size_t i = 0; i < count; i++) {
		MH_ASSERT(str_is_uuid(offers[i].id) && *offers[i].nonce);
		hand_on(offers[i].data);
		jobdata_free(offers[i].data);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct cp_raw raw = { .status = 200, .body = (const char *)data, .len = size };
	CLEAN(jobdata) struct jobdata *details = NULL;
	struct cp_answer a = { .asked_ms = -1 };
	struct mh_err err = MH_ERR_INIT;
	const char *status, *nonce;

	cp_classify(&raw, &a);
	if (a.result == CP_OK) {
		if (cp_read_status(a.body, &status, &err) == 0)
			MH_ASSERT(status != NULL);
		(void)cp_read_abandoned(a.body, ID); /* either answer will do */
		if (cp_read_details(a.body, ID, 5, &details, &nonce, &err) == 0) {
			MH_ASSERT(*nonce);
			hand_on(details);
		} else if (cp_read_details(a.body, ID, 5, &details, NULL, &err) == 0) {
			hand_on(details);
		}
		read_offers(a.body);
		read_third_offers(a.body);
	}
	json_object_put(a.body);
	return 0;
}
