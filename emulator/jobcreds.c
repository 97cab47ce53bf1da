#include "emulator/jobcreds.h"

#include <fcntl.h>
#include <sodium.h>
#include <string.h>
#include <sys/stat.h>

#include "lib/base/fsio.h"
#include "lib/base/json.h"
#include "lib/base/str.h"

#define KEY_FILE "creds.key"
#define TOKEN_PREFIX                                                                     \
	"MHJOB1/" /* tells our tokens from a client's own; the 1 is the format */
#define TOKEN_MAX     (64 * 1024)
#define KEY_ID_PREFIX "ASIA" /* as AWS's temporary keys begin */
#define KEY_ID_HEAD   14 /* "ASIA" and what is random */
#define KEY_ID_TAG    6
#define KEY_ID_SIZE   (KEY_ID_HEAD + KEY_ID_TAG + 1)
#define SECRET_CHARS  40 /* as AWS's are */

struct creds_key {
	unsigned char bytes[crypto_secretbox_KEYBYTES];
};

/* ---- the key ---- */

static int make_key(int dirfd, struct creds_key *key, struct mh_err *err)
{
	randombytes_buf(key->bytes, sizeof(key->bytes));
	return fs_write_durable_at(dirfd, KEY_FILE, key->bytes, sizeof(key->bytes), 0600,
				   err);
}

static int read_key(int dirfd, struct creds_key *key, struct mh_err *err)
{
	CLEAN(buf) struct buf b = BUF_INIT(4096);
	struct stat st;

	if (fs_read_at(dirfd, KEY_FILE, &b, err) != 0)
		return -1;
	if (fstatat(dirfd, KEY_FILE, &st, 0) != 0)
		return mh_err_sys(err, KEY_FILE);
	if ((st.st_mode & 077) != 0)
		return mh_err_set(
			err, MH_E_CONFIG,
			"others may read it (mode %03o): chmod 600, or remove it and "
			"start with --new-key (open jobs then need new credentials, and "
			"secret configuration values must be given anew)",
			(unsigned)st.st_mode & 0777);
	if (b.len != sizeof(key->bytes))
		return mh_err_set(
			err, MH_E_CONFIG,
			"it has %zu bytes, not %zu: put it back, or remove it and start "
			"with --new-key (open jobs then need new credentials, and secret "
			"configuration values must be given anew)",
			b.len, sizeof(key->bytes));
	memcpy(key->bytes, b.data, sizeof(key->bytes));
	sodium_memzero(b.data, b.len);
	return 0;
}

static int missing_key(struct mh_err *err)
{
	return mh_err_set(
		err, MH_E_NOTFOUND,
		"it is missing, and secret configuration values in emulator.db "
		"are sealed under it: put it back, or start once with --new-key "
		"(those values must then be given anew)");
}

static int open_key(const char *data_dir, bool make, struct creds_key **ret,
		    struct mh_err *err)
{
	CLEAN(fd) int dirfd = -1;
	struct creds_key *key;
	int rc;

	if (sodium_init() < 0)
		return mh_err_set(err, MH_E_SYS, "libsodium cannot start");
	if (fs_open_dir(AT_FDCWD, data_dir, &dirfd, err) != 0)
		return -1;
	key = mh_alloc(sizeof(*key));
	rc = read_key(dirfd, key, err);
	if (rc != 0 && err->cls == MH_E_NOTFOUND)
		rc = make ? make_key(dirfd, key, err) : missing_key(err);
	if (rc != 0) {
		creds_key_free(key);
		return mh_err_wrap(err, "%s/%s", data_dir, KEY_FILE);
	}
	*ret = key;
	return 0;
}

int creds_key_open(const char *data_dir, struct creds_key **ret, struct mh_err *err)
{
	return open_key(data_dir, true, ret, err);
}

int creds_key_open_old(const char *data_dir, struct creds_key **ret, struct mh_err *err)
{
	return open_key(data_dir, false, ret, err);
}

void creds_key_free(struct creds_key *key)
{
	if (!key)
		return;
	sodium_memzero(key, sizeof(*key));
	free(key);
}

void creds_key_derive(const struct creds_key *key, const char purpose[8],
		      unsigned char out[CREDS_KEY_SUBKEY_BYTES])
{
	static const struct creds_key none;

	_Static_assert(sizeof(none.bytes) == crypto_kdf_KEYBYTES,
		       "libsodium's key sizes");
	_Static_assert(crypto_kdf_CONTEXTBYTES == 8, "libsodium's context size");
	/* Fails for a wrong length alone. */
	(void)crypto_kdf_derive_from_key(out, CREDS_KEY_SUBKEY_BYTES, 1, purpose,
					 key ? key->bytes : none.bytes);
}

/* ---- sealing ---- */

static const char key_id_alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789";

static void random_text(const char *alphabet, char *out, size_t n)
{
	uint32_t letters = (uint32_t)strlen(alphabet);

	for (size_t i = 0; i < n; i++)
		out[i] = alphabet[randombytes_uniform(letters)];
	out[n] = '\0';
}

/* Completes an access key id from its head. */
static void tag_key_id(const struct creds_key *key, char id[KEY_ID_SIZE])
{
	unsigned char subkey[CREDS_KEY_SUBKEY_BYTES], tag[crypto_generichash_BYTES_MIN];

	creds_key_derive(key, "job-ids ", subkey);
	/* Fails for wrong sizes alone. */
	(void)crypto_generichash(tag, sizeof(tag), (const unsigned char *)id, KEY_ID_HEAD,
				 subkey, sizeof(subkey));
	for (size_t i = 0; i < KEY_ID_TAG; i++)
		id[KEY_ID_HEAD + i] =
			key_id_alphabet[tag[i] % (sizeof(key_id_alphabet) - 1)];
	id[KEY_ID_SIZE - 1] = '\0';
	sodium_memzero(subkey, sizeof(subkey));
}

bool job_creds_is_key_id(const struct creds_key *key, const char *access_key_id)
{
	char id[KEY_ID_SIZE];

	if (strlen(access_key_id) != KEY_ID_SIZE - 1 ||
	    !str_starts_with(access_key_id, KEY_ID_PREFIX))
		return false;
	memcpy(id, access_key_id, sizeof(id));
	tag_key_id(key, id);
	return strcmp(id, access_key_id) == 0;
}

/* [["bucket","key"], ...] */
static struct json_object *objects_to_json(const struct creds_object *objects,
					   size_t count)
{
	struct json_object *list = json_object_new_array();

	for (size_t i = 0; i < count; i++) {
		struct json_object *pair = json_object_new_array();

		(void)json_object_array_add(pair,
					    json_object_new_string(objects[i].bucket));
		(void)json_object_array_add(pair, json_object_new_string(objects[i].key));
		(void)json_object_array_add(list,
					    pair); /* they fail without memory alone */
	}
	return list;
}

static char *seal(const struct creds_key *key, const char *text)
{
	size_t len = strlen(text);
	size_t sealed_len = crypto_secretbox_NONCEBYTES + crypto_secretbox_MACBYTES + len;
	CLEAN(free) unsigned char *sealed = mh_alloc(sealed_len);
	CLEAN(free) char *base64 = NULL;

	randombytes_buf(sealed, crypto_secretbox_NONCEBYTES);
	/* Fails for lengths over 2^38 alone. */
	(void)crypto_secretbox_easy(sealed + crypto_secretbox_NONCEBYTES,
				    (const unsigned char *)text, len, sealed, key->bytes);
	base64 = str_base64(sealed, sealed_len);
	return mh_format("%s%s", TOKEN_PREFIX, base64);
}

void job_creds_seal(const struct creds_key *key, const struct creds_object *inputs,
		    size_t input_count, const struct creds_object *outputs,
		    size_t output_count, int64_t expires_ms, struct job_creds *ret)
{
	CLEAN(json) struct json_object *scope = json_object_new_object();
	char id[KEY_ID_SIZE] = KEY_ID_PREFIX;
	char secret[SECRET_CHARS + 1];

	random_text(key_id_alphabet, id + strlen(KEY_ID_PREFIX),
		    KEY_ID_HEAD - strlen(KEY_ID_PREFIX));
	tag_key_id(key, id);
	random_text("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/",
		    secret, SECRET_CHARS);
	json_put_str(scope, "id", id);
	json_put_str(scope, "secret", secret);
	json_put_i64(scope, "expires_ms", expires_ms);
	json_put_obj(scope, "in", objects_to_json(inputs, input_count));
	json_put_obj(scope, "out", objects_to_json(outputs, output_count));
	*ret = (struct job_creds){
		.access_key_id = mh_strdup(id),
		.secret_access_key = mh_strdup(secret),
		.session_token = seal(key, json_text(scope)),
		.expires_ms = expires_ms,
	};
	sodium_memzero(secret, sizeof(secret));
}

static void wipe(char *secret)
{
	if (secret)
		sodium_memzero(secret, strlen(secret));
	free(secret);
}

void job_creds_done(struct job_creds *c)
{
	free(c->access_key_id);
	wipe(c->secret_access_key);
	wipe(c->session_token);
	*c = (struct job_creds){ 0 };
}

/* ---- opening ---- */

/* The text inside, NUL-terminated; AUTH when the seal is broken. */
static int unseal(const struct creds_key *key, const char *base64, char **ret,
		  size_t *ret_len, struct mh_err *err)
{
	CLEAN(free) unsigned char *sealed = NULL;
	CLEAN(free) char *text = NULL;
	size_t sealed_len = 0, len;
	struct mh_err why = MH_ERR_INIT;

	if (strlen(base64) > TOKEN_MAX ||
	    str_unbase64(base64, &sealed, &sealed_len, &why) != 0 ||
	    sealed_len < crypto_secretbox_NONCEBYTES + crypto_secretbox_MACBYTES)
		return mh_err_set(err, MH_E_AUTH, "the security token is malformed");
	len = sealed_len - crypto_secretbox_NONCEBYTES - crypto_secretbox_MACBYTES;
	text = mh_alloc(len + 1);
	if (crypto_secretbox_open_easy(
		    (unsigned char *)text, sealed + crypto_secretbox_NONCEBYTES,
		    sealed_len - crypto_secretbox_NONCEBYTES, sealed, key->bytes) != 0)
		return mh_err_set(err, MH_E_AUTH, "the security token is invalid");
	*ret_len = len;
	*ret = STEAL_PTR(text);
	return 0;
}

static int objects_from_json(struct json_object *list, struct creds_object **ret,
			     size_t *ret_count)
{
	size_t n = json_object_array_length(list);
	struct creds_object *objects = mh_alloc((n + 1) * sizeof(*objects));

	*ret = objects;
	for (size_t i = 0; i < n; i++) {
		struct json_object *pair = json_object_array_get_idx(list, i);

		if (!json_object_is_type(pair, json_type_array) ||
		    json_object_array_length(pair) != 2)
			return -1;
		objects[i].bucket = mh_strdup(
			json_object_get_string(json_object_array_get_idx(pair, 0)));
		objects[i].key = mh_strdup(
			json_object_get_string(json_object_array_get_idx(pair, 1)));
		*ret_count = i + 1;
	}
	return 0;
}

static int read_scope(struct json_object *scope, struct opened_creds *c,
		      struct mh_err *err)
{
	struct json_object *in, *out;
	const char *id, *secret;

	if (json_get_str(scope, "id", &id, err) != 0 ||
	    json_get_str(scope, "secret", &secret, err) != 0 ||
	    json_get_i64(scope, "expires_ms", &c->expires_ms, err) != 0 ||
	    json_get_array(scope, "in", &in, err) != 0 ||
	    json_get_array(scope, "out", &out, err) != 0)
		return -1;
	c->access_key_id = mh_strdup(id);
	c->secret_access_key = mh_strdup(secret);
	if (objects_from_json(in, &c->inputs, &c->input_count) != 0 ||
	    objects_from_json(out, &c->outputs, &c->output_count) != 0)
		return mh_err_set(err, MH_E_PROTO, "bad list of objects");
	return 0;
}

int job_creds_open(const struct creds_key *key, const char *session_token,
		   struct opened_creds *ret, struct mh_err *err)
{
	CLEAN(json) struct json_object *scope = NULL;
	struct opened_creds c = { 0 };
	char *text = NULL;
	size_t len = 0;
	int rc;

	if (!str_starts_with(session_token, TOKEN_PREFIX))
		return mh_err_set(err, MH_E_NOTFOUND, "not the token of a job");
	if (unseal(key, session_token + strlen(TOKEN_PREFIX), &text, &len, err) != 0)
		return -1;
	rc = json_parse_object(text, len, &scope, err);
	wipe(text);
	if (rc == 0)
		rc = read_scope(scope, &c, err);
	if (rc != 0) {
		/* Sealed by this key, yet not of this format: another version's. */
		opened_creds_done(&c);
		return mh_err_set(err, MH_E_AUTH,
				  "the security token is of another version");
	}
	*ret = c;
	return 0;
}

static void free_objects(struct creds_object *objects, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		free((void *)(uintptr_t)objects[i]
			     .bucket); /* owned here, const to users */
		free((void *)(uintptr_t)objects[i].key);
	}
	free(objects);
}

void opened_creds_done(struct opened_creds *c)
{
	free(c->access_key_id);
	wipe(c->secret_access_key);
	free_objects(c->inputs, c->input_count);
	free_objects(c->outputs, c->output_count);
	*c = (struct opened_creds){ 0 };
}

static bool has_object(const struct creds_object *objects, size_t count,
		       const char *bucket, const char *key)
{
	for (size_t i = 0; i < count; i++) {
		if (strcmp(objects[i].bucket, bucket) == 0 &&
		    strcmp(objects[i].key, key) == 0)
			return true;
	}
	return false;
}

bool opened_creds_may_read(const struct opened_creds *c, const char *bucket,
			   const char *key)
{
	return has_object(c->inputs, c->input_count, bucket, key);
}

bool opened_creds_may_write(const struct opened_creds *c, const char *bucket,
			    const char *key)
{
	return has_object(c->outputs, c->output_count, bucket, key);
}
