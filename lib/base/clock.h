/*
 * Time. Wall time is for records and signatures, monotonic time for deadlines
 * inside one process. Both are int64_t milliseconds. No other file asks the
 * operating system for the time.
 */
#ifndef MH_BASE_CLOCK_H
#define MH_BASE_CLOCK_H

#include <stdint.h>

#include "lib/base/err.h"

int64_t clock_wall_ms(void); /* since 1970-01-01 UTC */
int64_t clock_mono_ms(void); /* since some point before the process started */
/* CLOCK_MONOTONIC as others on this host read it: stands still while the host sleeps. For
 * telling them; deadlines are clock_mono_ms()'s. */
int64_t clock_awake_us(void);

/* Tests put both clocks under their control; NULL gives them back. */
void clock_set_for_test(int64_t (*wall_ms)(void), int64_t (*mono_ms)(void));

#define CLOCK_ISO_SIZE 25
/* "2026-11-20T10:39:03.250Z"; years 1970 to 9999. */
void clock_format_iso(int64_t wall_ms, char out[CLOCK_ISO_SIZE]);
#define CLOCK_AMZ_SIZE 17
/* "20261120T103903Z", as SigV4 wants it. */
void clock_format_amz(int64_t wall_ms, char out[CLOCK_AMZ_SIZE]);
int clock_parse_amz(const char *s, int64_t *ret_ms, struct mh_err *err) MH_MUST_CHECK;
#define CLOCK_HTTP_SIZE 30
/* "Fri, 20 Nov 2026 10:39:03 GMT" */
void clock_format_http(int64_t wall_ms, char out[CLOCK_HTTP_SIZE]);
int clock_parse_http(const char *s, int64_t *ret_ms, struct mh_err *err) MH_MUST_CHECK;

#define CLOCK_BOOT_ID_SIZE 37
/* This boot's id. MILLHAND_BOOT_ID_FILE, honoured only in builds with fault
 * points, names another file, so that tests can play a reboot. */
int clock_boot_id(char out[CLOCK_BOOT_ID_SIZE], struct mh_err *err) MH_MUST_CHECK;

#endif
