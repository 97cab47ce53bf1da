/* cmocka and what every unit test needs, included once. */
#ifndef MH_TESTS_UNIT_TEST_H
#define MH_TESTS_UNIT_TEST_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "lib/base/err.h"
#include "tests/unit/fd_check.h"

/* The call must succeed; its error text is shown when it does not. */
#define assert_ok(call, err)                                                             \
	do {                                                                             \
		if ((call) != 0)                                                         \
			fail_msg("%s: %s", #call, (err)->text);                          \
	} while (0)

/* The call must fail with this class. */
#define assert_fails(call, err, expected_class)                                          \
	do {                                                                             \
		assert_int_equal((call), -1);                                            \
		assert_int_equal((err)->cls, (expected_class));                          \
	} while (0)

/* Ends a test that lacks outside data, visibly. (cmocka's skip() tells TAP "not ok",
 * which automake's driver takes for a failure.) */
#define skip_without(what)                                                               \
	do {                                                                             \
		print_message("# skipped: no %s\n", what);                               \
		return;                                                                  \
	} while (0)

#define assert_contains(text, part)                                                      \
	do {                                                                             \
		if (strstr((text), (part)) == NULL)                                      \
			fail_msg("'%s' is not in: %s", (part), (text));                  \
	} while (0)

#endif
