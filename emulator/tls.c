#include "emulator/tls.h"

#include <fcntl.h>
#include <microhttpd.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <sodium.h>
#include <string.h>
#include <sys/stat.h>

#include "lib/base/buf.h"
#include "lib/base/fsio.h"
#include "lib/base/log.h"

#define FILE_MAX (1024 * 1024)

static int read_file(const char *key, const char *path, char **ret, struct mh_err *err)
{
	CLEAN(buf) struct buf b = BUF_INIT(FILE_MAX);

	if (fs_read_at(AT_FDCWD, path, &b, err) != 0) {
		err->cls = MH_E_CONFIG;
		return mh_err_wrap(err, "%s", key);
	}
	*ret = buf_steal(&b);
	return 0;
}

/* Of an encrypted key: nobody is there to type it. */
static int no_passphrase(char *text, int size, int writing, void *arg)
{
	(void)text;
	(void)size;
	(void)writing;
	(void)arg;
	return -1;
}

static X509 *parse_cert(const char *text)
{
	BIO *bio = BIO_new_mem_buf(text, -1);
	X509 *cert = bio ? PEM_read_bio_X509(bio, NULL, no_passphrase, NULL) : NULL;

	BIO_free(bio);
	return cert;
}

static EVP_PKEY *parse_key(const char *text)
{
	BIO *bio = BIO_new_mem_buf(text, -1);
	EVP_PKEY *key = bio ? PEM_read_bio_PrivateKey(bio, NULL, no_passphrase, NULL)
			    : NULL;

	BIO_free(bio);
	return key;
}

static void warn(const struct settings *s, const X509 *cert)
{
	struct stat st;

	if (X509_cmp_current_time(X509_get0_notAfter(cert)) < 0)
		log_event(LOG_LEVEL_WARN, "tls.expired",
			  "the certificate has expired: clients will refuse it",
			  LOG_S("file", s->tls_cert), LOG_END);
	if (stat(s->tls_key, &st) == 0 && (st.st_mode & (S_IROTH | S_IWOTH)))
		log_event(LOG_LEVEL_WARN, "tls.key_exposed",
			  "everybody may read the key: chmod 600",
			  LOG_S("file", s->tls_key), LOG_END);
}

static int check(const struct settings *s, const X509 *cert, const EVP_PKEY *key,
		 struct mh_err *err)
{
	if (!cert)
		return mh_err_set(err, MH_E_CONFIG,
				  "tls_cert: %s: there is no certificate in it (in PEM, "
				  "-----BEGIN CERTIFICATE-----)",
				  s->tls_cert);
	if (!key)
		return mh_err_set(err, MH_E_CONFIG,
				  "tls_key: %s: there is no private key in it (in PEM, "
				  "without a passphrase)",
				  s->tls_key);
	if (X509_check_private_key(cert, key) != 1)
		return mh_err_set(
			err, MH_E_CONFIG,
			"tls_key: %s is not the key of the first certificate in "
			"%s",
			s->tls_key, s->tls_cert);
	warn(s, cert);
	return 0;
}

int tls_read(const struct settings *s, struct tls_files *ret, struct mh_err *err)
{
	struct tls_files f = { 0 };
	X509 *cert = NULL;
	EVP_PKEY *key = NULL;
	int rc;

	*ret = f;
	if (!s->tls_cert)
		return 0;
	if (MHD_is_feature_supported(MHD_FEATURE_TLS) != MHD_YES)
		return mh_err_set(err, MH_E_CONFIG,
				  "tls_cert: the libmicrohttpd of this system was built "
				  "without TLS");
	if (read_file("tls_cert", s->tls_cert, &f.cert, err) != 0 ||
	    read_file("tls_key", s->tls_key, &f.key, err) != 0) {
		tls_done(&f);
		return -1;
	}
	cert = parse_cert(f.cert);
	key = parse_key(f.key);
	rc = check(s, cert, key, err);
	X509_free(cert);
	EVP_PKEY_free(key);
	ERR_clear_error(); /* what was wrong is said in words of ours */
	if (rc != 0)
		tls_done(&f);
	else
		*ret = f;
	return rc;
}

void tls_done(struct tls_files *f)
{
	if (f->key)
		sodium_memzero(f->key, strlen(f->key));
	free(f->key);
	free(f->cert);
	*f = (struct tls_files){ 0 };
}
