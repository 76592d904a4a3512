/* SPDX-License-Identifier: Apache-2.0 */
/* Socket addresses as text, and text as host and port. */
#include <arpa/inet.h>
#include <stdio.h>

#include "loop_priv.h"

static const struct sockaddr_in *v4(const struct ph_addr *a)
{
	return (const struct sockaddr_in *)(const void *)&a->sa;
}

static const struct sockaddr_in6 *v6(const struct ph_addr *a)
{
	return (const struct sockaddr_in6 *)(const void *)&a->sa;
}

void ph_addr_text(const struct ph_addr *a, char *dst, size_t size)
{
	char host[INET6_ADDRSTRLEN];

	if (a->len > 0 && a->sa.ss_family == AF_INET &&
		inet_ntop(AF_INET, &v4(a)->sin_addr, host, sizeof(host)))
		snprintf(dst, size, "%s:%u", host, ntohs(v4(a)->sin_port));
	else if (a->len > 0 && a->sa.ss_family == AF_INET6 &&
		 inet_ntop(AF_INET6, &v6(a)->sin6_addr, host, sizeof(host)))
		snprintf(dst, size, "[%s]:%u", host, ntohs(v6(a)->sin6_port));
	else
		snprintf(dst, size, "unknown address");
}

bool ph_addr_is_loopback(const struct ph_addr *a)
{
	const uint8_t net = 127;

	if (a->len == 0)
		return false;
	if (a->sa.ss_family == AF_INET)
		return ntohl(v4(a)->sin_addr.s_addr) >> 24 == net;
	if (a->sa.ss_family != AF_INET6)
		return false;
	if (IN6_IS_ADDR_V4MAPPED(&v6(a)->sin6_addr)) /* an IPv4 client of a socket that is bound to [::] */
		return v6(a)->sin6_addr.s6_addr[12] == net;
	return IN6_IS_ADDR_LOOPBACK(&v6(a)->sin6_addr);
}

/* Cuts "host:port" or "[v6]:port". A v6 address without brackets is ambiguous, so it does not pass. */
static bool split(struct ph_str text, struct ph_str *ret_host, struct ph_str *ret_port)
{
	struct ph_str rest = text;

	if (text.n > 0 && text.p[0] == '[') {
		rest = ph_str(text.p + 1, text.n - 1);
		*ret_host = ph_str_split(&rest, ']');
		if (rest.n == 0 || rest.p[0] != ':')
			return false;
		*ret_port = ph_str(rest.p + 1, rest.n - 1);
		return true;
	}
	*ret_host = ph_str_split(&rest, ':');
	*ret_port = rest;
	return memchr(rest.p ? rest.p : "", ':', rest.n) == NULL;
}

int ph_hostport_parse(struct ph_str text, char *host, size_t host_size, uint16_t *port, struct ph_err *err)
{
	struct ph_str h, p;
	uint64_t number;

	if (!split(text, &h, &p) || h.n == 0 || h.n >= host_size || memchr(h.p, '\0', h.n) ||
		!ph_str_u64(p, UINT16_MAX, &number))
		return ph_fail(err, PH_E_CONFIG,
			"\"%.*s\" is not an address: write host:port, or [v6 address]:port",
			PH_STR_ARG(text));
	ph_str_copy(host, host_size, h);
	*port = (uint16_t)number;
	return 0;
}
