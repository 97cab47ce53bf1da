/*
 * The certificate and key of `tls_cert` and `tls_key`, read and held against each other
 * before the server starts, so that what is wrong is said in words.
 *
 *	tls_read(settings, &files, &err)     nothing in it when TLS is not asked for
 *	MHD_start_daemon(... files.cert, files.key ...)
 *	tls_done(&files)                     when the server has ended
 */
#ifndef MH_EMULATOR_TLS_H
#define MH_EMULATOR_TLS_H

#include "emulator/settings.h"

struct tls_files {
	char *cert; /* PEM, the chain above it included; NULL: no TLS */
	char *key; /* PEM; wiped by tls_done() */
};

/* What a client must speak: 1.2 or 1.3, by libmicrohttpd's (GnuTLS's) own choice of the
 * rest. */
#define TLS_PRIORITIES "NORMAL:-VERS-ALL:+VERS-TLS1.3:+VERS-TLS1.2"

/* CONFIG: a file cannot be read, is no PEM, the key is another's, or
 * libmicrohttpd was built without TLS. */
int tls_read(const struct settings *settings, struct tls_files *ret,
	     struct mh_err *err) MH_MUST_CHECK;
void tls_done(struct tls_files *files);

#endif
