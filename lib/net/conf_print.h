/* How values are written: shared by the reader's errors, --dump and the sample.
 * Internal to conf. */
#ifndef MH_NET_CONF_PRINT_H
#define MH_NET_CONF_PRINT_H

#include "lib/net/conf.h"

#define CONF_NUMBER_SIZE 32
/* "8", "30s", "10M": the shortest form that reads back as the same number. */
void conf_format_number(enum conf_type type, int64_t value, char out[CONF_NUMBER_SIZE]);
/* "0 to 10000 jobs", "at least 1s". The answer is the caller's to free. */
char *conf_format_range(const struct conf_key *key) MH_MUST_CHECK;
/* A default or example in libconfig's notation; the caller frees it. */
char *conf_notation(const struct conf_key *key, const char *bare) MH_MUST_CHECK;
/* The limits that hold: both 0 in the table means any number that is not negative. */
static inline int64_t conf_max(const struct conf_key *key)
{
	return key->min == 0 && key->max == 0 ? INT64_MAX : key->max;
}

#endif
