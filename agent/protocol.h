/*
 * What agent and shim agree on. They may be of different builds: a shim outlives its
 * agent, and the next agent may come out of a newer package, or an older one.
 *
 * New members in any of these formats change no number, because who does not know a
 * member leaves it out of account. A number goes up when an old reader would
 * misunderstand.
 */
#ifndef MH_AGENT_PROTOCOL_H
#define MH_AGENT_PROTOCOL_H

#define SPEC_VERSION   1 /* the job spec */
#define RESULT_VERSION 1 /* result.json */

/* Messages on a job's socket. The shim tells its number, the agent judges it; shims of
 * the first builds tell none and speak 1. */
#define SHIM_PROTOCOL        1
#define SHIM_PROTOCOL_OLDEST 1 /* that this agent speaks too */

/* In a job's directory, perhaps: a file of zeros that may become result.json, with spaces
 * behind the text where there were more of them. */
#define RESULT_SPARE "result.json.spare.tmp"

#endif
