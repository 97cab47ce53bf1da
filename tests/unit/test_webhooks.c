/* Webhooks: their definitions, who may deliver, JSON paths (semantics B). */
#include "tests/unit/ops.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>

#include "emulator/delivery.h"
#include "emulator/engine/webhooks.h"
#include "emulator/jsonpath.h"
#include "tests/unit/declare_types.h"

#define FILTER  "{\"jsonPath\":\"$.ref\",\"matchEquals\":\"refs/heads/{BranchName}\"}"
#define FILTERS "\"filters\":[" FILTER "]"
#define HMAC                                                                             \
	"\"authentication\":\"GITHUB_HMAC\",\"authenticationConfiguration\":"            \
	"{\"SecretToken\":\"canary-secret\"}"
#define OPEN       "\"authentication\":\"UNAUTHENTICATED\",\"authenticationConfiguration\":{}"
#define TARGET     "\"targetPipeline\":\"P\",\"targetAction\":\"Src\","
#define HOOK(rest) "{\"webhook\":{\"name\":\"W\"," TARGET rest "}}"

static int open_ops(void **state)
{
	static struct ops ops;

	ops_open(&ops);
	ops_do(&ops, "CreateCustomActionType", MAKE_TYPE);
	ops_do(&ops, "CreatePipeline", "{\"pipeline\":" MAKE_PIPELINE "}");
	ops.ctx.base_url = "http://there:4599";
	*state = &ops;
	return 0;
}

static int close_ops(void **state)
{
	ops_close(*state);
	return 0;
}

static void a_webhook_shows_its_url_and_never_its_secret(void **state)
{
	struct ops *o = *state;
	CLEAN(json)
	struct json_object *put = ops_ok(o, "PutWebhook", HOOK(FILTERS "," HMAC));
	CLEAN(json) struct json_object *again = NULL, *list = NULL;
	struct json_object *w = json_opt_object(put, "webhook");
	CLEAN(webhook) struct webhook row = { 0 };
	struct mh_err err;
	bool found;

	assert_int_equal(strncmp(json_opt_str(w, "url", ""),
				 "http://there:4599" DELIVERY_PREFIX,
				 strlen("http://there:4599" DELIVERY_PREFIX)),
			 0);
	assert_string_equal(json_opt_str(w, "arn", ""),
			    "arn:aws:codepipeline:us-east-1:000000000000:webhook:W");
	assert_contains(json_text(put), "\"SecretToken\":\"****\"");
	assert_null(strstr(json_text(put), "canary"));
	assert_ok(webhooks_find(o->store, "W", &row, &found, &err), &err);
	assert_null(strstr(row.definition, "canary"));
	assert_null(strstr(row.secret, "canary"));

	/* What was shown may be put again: the secret and the URL stay. */
	again = ops_ok(
		o, "PutWebhook",
		HOOK("\"filters\":[],"
		     "\"authentication\":\"GITHUB_HMAC\","
		     "\"authenticationConfiguration\":{\"SecretToken\":\"****\"}"));
	assert_string_equal(json_opt_str(json_opt_object(again, "webhook"), "url", ""),
			    json_opt_str(w, "url", ""));
	list = ops_ok(o, "ListWebhooks", "{}");
	assert_int_equal(json_object_array_length(json_opt_array(list, "webhooks")), 1);
	webhook_done(&row);
	assert_ok(webhooks_find(o->store, "W", &row, &found, &err), &err);
	assert_non_null(row.secret);
}

static void a_webhook_that_cannot_work_is_refused(void **state)
{
	static const struct {
		const char *in, *code, *message;
	} rows[] = {
		{ HOOK(FILTERS ",\"authentication\":\"GITHUB_HMAC\","
			       "\"authenticationConfiguration\":{}"),
		  "InvalidWebhookAuthenticationParametersException",
		  "'authenticationConfig' should contain only one property: "
		  "'SecretToken'" },
		{ HOOK(FILTERS ",\"authentication\":\"GITHUB_HMAC\","
			       "\"authenticationConfiguration\":{\"SecretToken\":\"x\","
			       "\"AllowedIPRange\":\"10.0.0.0/8\"}"),
		  "InvalidWebhookAuthenticationParametersException",
		  "'authenticationConfig' should contain only one property: "
		  "'SecretToken'" },
		{ HOOK(FILTERS
		       ",\"authentication\":\"IP\",\"authenticationConfiguration\":"
		       "{\"SecretToken\":\"x\"}"),
		  "InvalidWebhookAuthenticationParametersException",
		  "'authenticationConfig' should contain only one property: "
		  "'AllowedIPRange'" },
		{ HOOK(FILTERS
		       ",\"authentication\":\"IP\",\"authenticationConfiguration\":"
		       "{\"AllowedIPRange\":\"10.0.0.0/33\"}"),
		  "InvalidWebhookAuthenticationParametersException",
		  "AllowedIPRange: '10.0.0.0/33': the prefix is a number up to 32" },
		{ HOOK(FILTERS ",\"authentication\":\"UNAUTHENTICATED\","
			       "\"authenticationConfiguration\":{\"SecretToken\":\"x\"}"),
		  "InvalidWebhookAuthenticationParametersException",
		  "'authenticationConfig' should contain no property" },
		{ HOOK(FILTERS
		       ",\"authentication\":\"GITHUB_HMAC\","
		       "\"authenticationConfiguration\":{\"SecretToken\":\"****\"}"),
		  "InvalidWebhookAuthenticationParametersException",
		  "'****' may be used as SecretToken only when updating a webhook that "
		  "has "
		  "one" },
		{ HOOK("\"filters\":[{\"jsonPath\":\"ref\"}]," OPEN),
		  "InvalidWebhookFilterPatternException",
		  "filters[0].jsonPath: 'ref' does not begin with $" },
		{ HOOK("\"filters\":[" FILTER ",{\"jsonPath\":\"$..x\"}]," OPEN),
		  "InvalidWebhookFilterPatternException",
		  "filters[1].jsonPath: '$..x' is not understood from '..x' on: .name, "
		  "['name'], [0], .* and [*] are" },
		{ HOOK("\"filters\":[{\"jsonPath\":\"$.ref\",\"matchEquals\":\"{Nope}\"}]"
		       "," OPEN),
		  "InvalidWebhookFilterPatternException",
		  "filters[0].matchEquals: {Nope} is not in the configuration of action "
		  "'Src'" },
		{ "{\"webhook\":{\"name\":\"W\",\"targetPipeline\":\"Q\","
		  "\"targetAction\":"
		  "\"Src\"," FILTERS "," OPEN "}}",
		  "PipelineNotFoundException",
		  "Account '000000000000' does not have a pipeline with name 'Q'" },
		{ "{\"webhook\":{\"name\":\"W\",\"targetPipeline\":\"P\","
		  "\"targetAction\":"
		  "\"Make\"," FILTERS "," OPEN "}}",
		  "ValidationException",
		  "The first stage of pipeline 'P' has no action with name 'Make': the "
		  "target of a webhook is one of its source actions" },
	};
	struct ops *o = *state;

	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		ops_fail(o, "PutWebhook", rows[i].in, rows[i].code, rows[i].message);
}

static void webhooks_are_listed_in_pages_registered_and_deleted(void **state)
{
	struct ops *o = *state;
	CLEAN(free) char *token = mh_strdup("");
	char seen[64] = "";

	for (int i = 0; i < 5; i++) {
		CLEAN(free)
		char *in = mh_format("{\"webhook\":{\"name\":\"W%d\"," TARGET FILTERS
				     "," OPEN "}}",
				     i);

		ops_do(o, "PutWebhook", in);
	}
	while (token) {
		CLEAN(free)
		char *in = mh_format("{\"MaxResults\":2%s%s%s}",
				     *token ? ",\"NextToken\":\"" : "", token,
				     *token ? "\"" : "");
		CLEAN(json) struct json_object *out = ops_ok(o, "ListWebhooks", in);
		struct json_object *list = json_opt_array(out, "webhooks");

		for (size_t i = 0; i < json_object_array_length(list); i++)
			(void)strncat(
				seen,
				json_opt_str(json_opt_object(
						     json_object_array_get_idx(list, i),
						     "definition"),
					     "name", ""),
				4);
		free(token);
		token = mh_strdup(json_opt_str(out, "NextToken", NULL));
	}
	assert_string_equal(seen, "W0W1W2W3W4");
	ops_do(o, "RegisterWebhookWithThirdParty", "{\"webhookName\":\"W1\"}");
	ops_do(o, "DeregisterWebhookWithThirdParty", "{\"webhookName\":\"W1\"}");
	ops_do(o, "DeleteWebhook", "{\"name\":\"W1\"}");
	ops_do(o, "DeleteWebhook", "{\"name\":\"W1\"}");
	ops_fail(o, "RegisterWebhookWithThirdParty", "{\"webhookName\":\"W1\"}",
		 "WebhookNotFoundException", "There is no webhook with name 'W1'");
	ops_fail(o, "DeregisterWebhookWithThirdParty", "{}", "ValidationException",
		 "1 validation error detected: Value at 'webhookName' failed to satisfy "
		 "constraint: Member must not be null");
}

static void the_three_hundred_and_first_is_too_much(void **state)
{
	struct ops *o = *state;

	for (int i = 0; i < 300; i++) {
		CLEAN(free)
		char *in = mh_format("{\"webhook\":{\"name\":\"W%d\"," TARGET FILTERS
				     "," OPEN "}}",
				     i);

		ops_do(o, "PutWebhook", in);
	}
	ops_do(o, "PutWebhook",
	       "{\"webhook\":{\"name\":\"W7\"," TARGET FILTERS "," OPEN "}}");
	ops_fail(o, "PutWebhook", HOOK(FILTERS "," OPEN), "LimitExceededException",
		 "There can only be up to 300 webhooks in a region");
}

/* ---- who may deliver ---- */

static void signatures_are_held_against_the_raw_body(void **state)
{
	/* GitHub's own example. */
	static const char good[] =
		"sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46"
		"f4379c8b043e17";
	static const char sha1[] = "sha1=01dc10d0c83e72ed246219cdd91669667fe2ca59";
	const char *secret = "It's a Secret to Everybody";
	struct delivery d = { .body = "Hello, World!", .body_len = 13 };

	(void)state; /* none */
	assert_false(delivery_is_signed(secret, &d));
	d.sha256 = good;
	assert_true(delivery_is_signed(secret, &d));
	assert_false(delivery_is_signed("another", &d));
	d.body = "Hello, World?";
	assert_false(delivery_is_signed(secret, &d));
	d.body = "Hello, World!";
	d.sha1 = sha1;
	d.sha256 = "sha256=757107ea";
	assert_false(delivery_is_signed(secret, &d)); /* the better one counts */
	d.sha256 = NULL;
	assert_true(delivery_is_signed(secret, &d));
	d.sha1 = sha1 + strlen("sha1=");
	assert_false(delivery_is_signed(secret, &d));
	d.sha1 = "sha1=";
	assert_false(delivery_is_signed(secret, &d));
}

static struct sockaddr_storage address(const char *text)
{
	struct sockaddr_storage s = { 0 };
	struct sockaddr_in *in = (void *)&s;
	struct sockaddr_in6 *in6 = (void *)&s;

	if (inet_pton(AF_INET, text, &in->sin_addr) == 1)
		in->sin_family = AF_INET;
	else if (inet_pton(AF_INET6, text, &in6->sin6_addr) == 1)
		in6->sin6_family = AF_INET6;
	return s;
}

static void addresses_are_held_against_ranges(void **state)
{
	static const struct {
		const char *range, *address;
		bool in;
	} rows[] = {
		{ "192.0.2.0/24", "192.0.2.255", true },
		{ "192.0.2.0/24", "192.0.3.0", false },
		{ "192.0.2.128/25", "192.0.2.127", false },
		{ "192.0.2.7", "192.0.2.7", true },
		{ "192.0.2.7", "192.0.2.8", false },
		{ "0.0.0.0/0", "10.1.2.3", true },
		{ "0.0.0.0/0", "::1", false },
		{ "10.0.0.0/8", "::ffff:10.9.9.9", true },
		{ "2001:db8::/33", "2001:db8:7fff::1", true },
		{ "2001:db8::/33", "2001:db8:8000::1", false },
		{ "::/0", "2001:db8::1", true },
		{ "::/0", "127.0.0.1", false },
	};
	static const char *const bad[] = { "",        "192.0.2.0/33", "192.0.2/24",
					   "::/129",  "::/-1",        "192.0.2.0/",
					   "example", "192.0.2.0/ 8", "192.0.2.0/24/1" };

	(void)state; /* none */
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct sockaddr_storage s = address(rows[i].address);
		struct mh_err err;

		assert_ok(cidr_check(rows[i].range, &err), &err);
		if (cidr_contains(rows[i].range, (struct sockaddr *)&s) != rows[i].in)
			fail_msg("%s in %s", rows[i].address, rows[i].range);
	}
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		struct mh_err err = MH_ERR_INIT;

		assert_fails(cidr_check(bad[i], &err), &err, MH_E_CONFIG);
	}
	assert_false(cidr_contains("0.0.0.0/0", NULL));
}

/* ---- JSON paths ---- */

static void paths_select_what_they_say(void **state)
{
	static const char text[] =
		"{\"ref\":\"refs/heads/"
		"main\",\"a\":{\"b\":[{\"c\":1},{\"c\":2.5},{\"c\":true}],"
		"\"x.y\":\"dot\"},\"none\":null,\"s\":[\"p\",\"q\"]}";
	static const struct {
		const char *path, *equals;
		bool matches;
	} rows[] = {
		{ "$", NULL, true },
		{ "$.ref", NULL, true },
		{ "$.ref", "refs/heads/main", true },
		{ "$.ref", "refs/heads/mai", false },
		{ "$.Ref", NULL, false },
		{ "$['ref']", "refs/heads/main", true },
		{ "$[\"a\"]['x.y']", "dot", true },
		{ "$.a.b[0].c", "1", true },
		{ "$.a.b[1].c", "2.5", true },
		{ "$.a.b[2].c", "true", true },
		{ "$.a.b[-1].c", "true", true },
		{ "$.a.b[3].c", NULL, false },
		{ "$.a.b[-4].c", NULL, false },
		{ "$.a.b[*].c", "2.5", true },
		{ "$.a.b[*].c", "3", false },
		{ "$.a.*[0].c", "1", true },
		{ "$.s[*]", "q", true },
		{ "$.*", "refs/heads/main", true },
		{ "$.a", "{}", false },
		{ "$.none", "null", false },
		{ "$.ref.x", NULL, false },
	};
	static const char *const bad[] = { "",          "ref",    "$ref",  "$.",
					   "$..a",      "$[",     "$[a]",  "$['a'",
					   "$[?(@.a)]", "$[0:1]", "$.a b", "$[0,1]",
					   "$[- 1]",    "$.a()" };
	CLEAN(json) struct json_object *doc = NULL;
	struct mh_err err;

	(void)state; /* none */
	assert_ok(json_parse(text, strlen(text), &doc, &err), &err);
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		assert_ok(jsonpath_check(rows[i].path, &err), &err);
		if (jsonpath_matches(rows[i].path, doc, rows[i].equals) !=
		    rows[i].matches)
			fail_msg("%s equals %s", rows[i].path,
				 rows[i].equals ? rows[i].equals : "anything");
	}
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		if (jsonpath_check(bad[i], &err) == 0)
			fail_msg("%s is understood", bad[i]);
	}
}

static void placeholders_come_from_the_configuration(void **state)
{
	CLEAN(json) struct json_object *config = json_object_new_object();
	CLEAN(free) char *good = NULL, *open = NULL, *none = NULL, *missing = NULL;

	(void)state; /* none */
	json_put_str(config, "Branch", "main");
	good = webhook_expand("refs/heads/{Branch}{Branch}", config, NULL);
	assert_string_equal(good, "refs/heads/mainmain");
	open = webhook_expand("a{Branch", config, NULL);
	assert_string_equal(open, "a{Branch");
	none = webhook_expand("{Branch}{Other}", config, &missing);
	assert_null(none);
	assert_string_equal(missing, "Other");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(
			a_webhook_shows_its_url_and_never_its_secret, open_ops,
			close_ops),
		cmocka_unit_test_setup_teardown(a_webhook_that_cannot_work_is_refused,
						open_ops, close_ops),
		cmocka_unit_test_setup_teardown(
			webhooks_are_listed_in_pages_registered_and_deleted, open_ops,
			close_ops),
		cmocka_unit_test_setup_teardown(the_three_hundred_and_first_is_too_much,
						open_ops, close_ops),
		cmocka_unit_test(signatures_are_held_against_the_raw_body),
		cmocka_unit_test(addresses_are_held_against_ranges),
		cmocka_unit_test(paths_select_what_they_say),
		cmocka_unit_test(placeholders_come_from_the_configuration),
	};

	return cmocka_run_group_tests_name("webhooks", tests, NULL, NULL);
}
