/*
 * Faults that a tester asks for (semantics A13): rules that make requests go wrong, each
 * for one operation, so many times, or with a probability from a seed. Rules are in
 * memory alone: a restart forgets them.
 *
 *	faults_add(f, &rule)                  as often as wanted
 *	faults_pick(f, "AcknowledgeJob", &hit)     for each request, before it is served
 *
 * The first rule that fits and has not said "not this time" is the request's.
 *Thread-safe.
 */
#ifndef MH_EMULATOR_FAULTS_H
#define MH_EMULATOR_FAULTS_H

#include <stdbool.h>
#include <stdint.h>

#define FAULT_ANY         "*" /* every operation of the API */
#define FAULT_S3_PREFIX   "S3:" /* and a method: "S3:PUT" */
#define FAULTS_MAX        256
#define FAULT_NO_TRUNCATE ((int64_t)-1)
#define FAULT_FOR_EVER    ((int64_t)-1)

struct fault {
	int64_t id; /* 0: none */
	char operation[80];
	/* Which requests: */
	int64_t skip; /* so many pass first */
	int64_t count; /* so many are hit, then none: FAULT_FOR_EVER */
	double probability; /* 0 to 1, for each that would be hit */
	uint64_t seed; /* of that */
	/* What happens, in this order: */
	int64_t delay_ms;
	char code[80], message[512]; /* the error instead of serving it; "": served */
	int status; /* of the error */
	bool html; /* the error's body is a proxy's page */
	bool drop; /* the connection ends without the answer */
	int64_t truncate; /* so many bytes of the body are sent, then it ends */
	int64_t date_skew_ms; /* of the Date header; 0: none */
	int64_t retry_after_ms; /* x-amz-retry-after; 0: none */
	int64_t hits; /* so far */
};

struct faults;

struct faults *faults_new(void);
void faults_free(struct faults *f);
/* Its id, or 0 when there are FAULTS_MAX. */
int64_t faults_add(struct faults *f, const struct fault *rule);
/* id 0: all. How many there were. */
int faults_remove(struct faults *f, int64_t id);
/* Copies of all, at most max; how many. */
int faults_list(struct faults *f, struct fault *ret, int max);
/* ret->id is 0 when the request is to be served as ever. f may be NULL. */
void faults_pick(struct faults *f, const char *operation, struct fault *ret);

#endif
