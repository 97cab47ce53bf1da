/*
 * The operations, one function each (struct op in emulator/op.h). An operation
 * gets input that the validator has already held against the service model:
 * required members are there, types, lengths, ranges, enumerations and patterns
 * are right. It checks existence, state and quota, in that order (semantics G22).
 */
#ifndef MH_EMULATOR_API_OPS_H
#define MH_EMULATOR_API_OPS_H

#include "emulator/op.h"

#define OP(name)                                                                         \
	int name(struct op_ctx *ctx, struct json_object *in, struct json_object *out,    \
		 struct api_error *err)

/* action_types.c */
OP(op_create_custom_action_type);
OP(op_delete_custom_action_type);
OP(op_list_action_types);
/* tagging.c */
OP(op_list_tags_for_resource);
OP(op_tag_resource);
OP(op_untag_resource);
/* webhooks.c */
OP(op_delete_webhook);
OP(op_deregister_webhook_with_third_party);
OP(op_list_webhooks);
OP(op_put_webhook);
OP(op_register_webhook_with_third_party);
/* pipelines.c */
OP(op_create_pipeline);
OP(op_delete_pipeline);
OP(op_get_pipeline);
OP(op_list_pipelines);
OP(op_update_pipeline);
/* executions.c, views.c */
OP(op_start_pipeline_execution);
OP(op_get_pipeline_execution);
OP(op_get_pipeline_state);
OP(op_list_action_executions);
OP(op_list_pipeline_executions);
OP(op_list_deploy_targets);
OP(op_put_action_revision);
/* control.c */
OP(op_disable_stage_transition);
OP(op_enable_stage_transition);
OP(op_retry_stage_execution);
OP(op_rollback_stage);
OP(op_stop_pipeline_execution);
/* rules.c */
OP(op_list_rule_executions);
OP(op_list_rule_types);
OP(op_override_stage_condition);
/* approvals.c */
OP(op_put_approval_result);
/* jobs.c */
OP(op_acknowledge_job);
OP(op_get_job_details);
OP(op_poll_for_jobs);
OP(op_put_job_failure_result);
OP(op_put_job_success_result);
OP(op_acknowledge_third_party_job);
OP(op_get_third_party_job_details);
OP(op_poll_for_third_party_jobs);
OP(op_put_third_party_job_failure_result);
OP(op_put_third_party_job_success_result);
/* integrations.c */
OP(op_get_action_type);
OP(op_update_action_type);

#endif
