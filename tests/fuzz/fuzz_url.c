/* SPDX-License-Identifier: Apache-2.0 */
/* URLs, targets, percent-encoding, queries: what comes out is clean, fits, and reads the same a second time.
 */
#include "fuzz.h"

#include "posthouse/url.h"

static void check_url(struct ph_str s)
{
	struct ph_url url, again;
	struct ph_err err;
	char text[1024];

	if (ph_url_parse(&url, s, &err) < 0) {
		REQUIRE(err.code == PH_E_PARAM_BAD && err.detail[0] != '\0');
		return;
	}
	REQUIRE(url.host[0] != '\0' && url.port != 0);
	REQUIRE(url.path[0] == '\0' || (url.path[0] == '/' && url.path[strlen(url.path) - 1] != '/'));
	snprintf(text, sizeof(text), "%s://%s%s", url.tls ? "https" : "http", url.origin, url.path);
	REQUIRE(ph_url_parse(&again, ph_str_c(text), &err) == 0);
	REQUIRE(memcmp(&url, &again, sizeof(url)) == 0);
}

static void check_target(struct ph_str s)
{
	struct ph_str path, query, value;

	if (ph_target_split(s, &path, &query) < 0)
		return;
	REQUIRE(path.n > 0 && path.p[0] == '/');
	REQUIRE(query.n == 0 || (query.p >= s.p && query.p + query.n == s.p + s.n));
	for (size_t i = 0; i < path.n; i++)
		REQUIRE(path.p[i] > ' ' && path.p[i] < 0x7f && !strchr("?#\\", path.p[i]));
	REQUIRE(ph_str_find(path, PH_STR("/../")) < 0 && !ph_str_ends(path, PH_STR("/..")));
	if (ph_query_get(query, PH_STR("a"), &value))
		REQUIRE(value.n <= query.n && (value.n == 0 || memchr(value.p, '&', value.n) == NULL));
}

static void check_percent(struct ph_str s)
{
	char decoded[300], again[300];
	size_t n, m;
	struct ph_buf b;

	if (ph_percent_decode(s, false, decoded, sizeof(decoded), &n) < 0)
		return;
	REQUIRE(n <= s.n && n < sizeof(decoded) && strlen(decoded) == n);
	ph_buf_init(&b, 4096);
	ph_percent_encode(&b, ph_str(decoded, n));
	REQUIRE(!b.failed);
	REQUIRE(ph_percent_decode(ph_buf_str(&b), true, again, sizeof(again), &m) == 0);
	REQUIRE(n == m && memcmp(decoded, again, n) == 0);
	ph_buf_deinit(&b);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct ph_str s = {(const char *)data, size};

	check_url(s);
	check_target(s);
	check_percent(s);
	return 0;
}
