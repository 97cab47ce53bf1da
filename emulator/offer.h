/*
 * Action types of AWS that are offered to workers under a custom type (design section
 * 6): with
 *
 *	offer = ( { aws = "Build/CodeBuild/1"; as = "Build/Custom/CodeBuild/1"; } );
 *
 * an action of AWS's type becomes a job that PollForJobs hands out for the custom one.
 * The job carries the custom type; the pipeline and its views keep AWS's. The custom type
 * need not exist: polls for it are accepted because it is offered. When somebody created
 * it all the same, its queryable property is honoured.
 *
 * Rules of conditions that AWS has functions or machines for are offered the same way, by
 * aws = "Rule/LambdaInvoke/1" and "Rule/Commands/1". The job of a Commands action or
 * rule has the configuration key `command`: its commands as one shell script.
 *
 * An offer wins over what the emulator would do itself (S3, CodeCommit), but an approval
 * stays a person's. What follows a job (time limit, continuations, artifacts, variables)
 * is as for every custom action.
 */
#ifndef MH_EMULATOR_OFFER_H
#define MH_EMULATOR_OFFER_H

#include <json-c/json.h>

#include "emulator/settings.h"

/* Whether each offer names a type of AWS and a custom one, and none is there twice:
 * CONFIG. */
int offers_check(const struct settings *s, struct mh_err *err) MH_MUST_CHECK;
/* The custom type ("Build/Custom/CodeBuild/1") under which workers find actions of this
 * type, borrowed; NULL when it is not offered. */
const char *offer_of(const struct settings *s, struct json_object *action_type_id);
/* Whether something is offered as this custom type. */
bool offer_has(const struct settings *s, const char *custom_type);

#endif
