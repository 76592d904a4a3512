/* SPDX-License-Identifier: Apache-2.0 */
/* "host:port" to an address, the blocking way: before any loop runs. */
#include <arpa/inet.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdio.h>

#include "cli_priv.h"

int ph_cli_address(const char *text, struct ph_addr *ret, struct ph_err *err)
{
	const struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE | AI_NUMERICSERV};
	struct addrinfo *found;
	char host[256], service[8];
	uint16_t port;
	int r = ph_hostport_parse(ph_str_c(text), host, sizeof(host), &port, err);

	if (r < 0)
		return r;
	snprintf(service, sizeof(service), "%u", port);
	r = getaddrinfo(host, service, &hints, &found);
	if (r != 0)
		return ph_fail(err, PH_E_NAME,
			"%s: the name cannot be resolved (%s); write an address, for example 127.0.0.1:%u",
			text, gai_strerror(r), port);
	memcpy(&ret->sa, found->ai_addr, found->ai_addrlen);
	ret->len = found->ai_addrlen;
	freeaddrinfo(found);
	return 0;
}

void ph_cli_reachable(struct ph_addr *addr)
{
	struct sockaddr_in *v4 = (struct sockaddr_in *)&addr->sa;
	struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)&addr->sa;

	if (addr->sa.ss_family == AF_INET && v4->sin_addr.s_addr == htonl(INADDR_ANY))
		v4->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	else if (addr->sa.ss_family == AF_INET6 && IN6_IS_ADDR_UNSPECIFIED(&v6->sin6_addr))
		v6->sin6_addr = in6addr_loopback;
}
