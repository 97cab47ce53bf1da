#include "emulator/third_party.h"

#include <sodium.h>
#include <stdio.h>
#include <string.h>

#include "emulator/type_name.h"

#define TOKEN_MAX 256 /* as the service model has it */

static const struct settings_third_party *row_at(const struct settings *s, size_t i)
{
	return (const struct settings_third_party *)s->third_parties.items + i;
}

static bool is_client_id(const char *s)
{
	static const char form[] = "xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx";

	if (strlen(s) != sizeof(form) - 1)
		return false;
	for (size_t i = 0; i < sizeof(form) - 1; i++) {
		if (form[i] == '-' ? s[i] != '-' : !strchr("0123456789abcdef", s[i]))
			return false;
	}
	return true;
}

static int check_row(const struct settings_third_party *r, struct mh_err *err)
{
	size_t token = strlen(r->client_token);

	if (!type_name_is(r->type, "ThirdParty"))
		return mh_err_set(err, MH_E_CONFIG,
				  "third_party: type = \"%s\" is no third-party action "
				  "type: write it like Deploy/ThirdParty/Acme/1",
				  r->type);
	if (!is_client_id(r->client_id))
		return mh_err_set(
			err, MH_E_CONFIG,
			"third_party: client_id = \"%s\" is no client id: write "
			"a UUID in lower case",
			r->client_id);
	if (token < 1 || token > TOKEN_MAX)
		return mh_err_set(err, MH_E_CONFIG,
				  "third_party: client_token of %s has %zu characters, "
				  "1 to %d are possible",
				  r->type, token, TOKEN_MAX);
	return 0;
}

int third_party_check(const struct settings *s, struct mh_err *err)
{
	for (size_t i = 0; i < s->third_parties.count; i++) {
		const struct settings_third_party *r = row_at(s, i);

		if (check_row(r, err) != 0)
			return -1;
		if (third_party_of(s, r->type) != r)
			return mh_err_set(err, MH_E_CONFIG,
					  "third_party: type = \"%s\" is there twice",
					  r->type);
	}
	return 0;
}

const struct settings_third_party *third_party_of(const struct settings *s,
						  const char *type)
{
	for (size_t i = 0; i < s->third_parties.count; i++) {
		if (strcmp(row_at(s, i)->type, type) == 0)
			return row_at(s, i);
	}
	return NULL;
}

void third_party_client_id(const struct settings *s, const char *type,
			   char ret[STR_UUID_SIZE])
{
	const struct settings_third_party *r = third_party_of(s, type);

	if (r)
		memcpy(ret, r->client_id, STR_UUID_SIZE);
	else /* the account has 12 digits: it fits */
		(void)snprintf(ret, STR_UUID_SIZE, "00000000-0000-4000-8000-%s",
			       s->account);
}

bool third_party_token_fits(const struct settings *s, const char *type, const char *token)
{
	const struct settings_third_party *r = third_party_of(s, type);

	return !r || (strlen(r->client_token) == strlen(token) &&
		      sodium_memcmp(r->client_token, token, strlen(token)) == 0);
}
