/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where a browser's redirect arrives: on loopback, at the port that the issuer knows, or, if the browser is
 * on another machine, as a line on standard input. Plain sockets and poll(): a person is waited for, and
 * between two looks the command asks the database how its flow stands.
 */
#include "login_wait.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <unistd.h>

#include "posthouse/clock.h"
#include "posthouse/http1.h"
#include "posthouse/url.h"

#define CALLBACK_PATH "/auth/callback"
#define REQUEST_MS    10000 /* until a connection has said what it wants */
#define ANSWER_MAX    4096

static int listen_on(const struct sockaddr *addr, socklen_t len)
{
	int fault, one = 1, fd = socket(addr->sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	if (fd < 0)
		return -1;
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
	if (addr->sa_family == AF_INET6)
		setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &one, sizeof one);
	if (bind(fd, addr, len) == 0 && listen(fd, PH_WAIT_CLIENTS) == 0)
		return fd;
	fault = errno;
	close(fd);
	errno = fault;
	return -1;
}

/* `localhost` is either; a machine may have one of them alone. */
void ph_cli_wait_open(struct ph_cli_wait *w, unsigned port)
{
	struct sockaddr_in v4 = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
	struct sockaddr_in6 v6 = {.sin6_family = AF_INET6, .sin6_port = htons((uint16_t)port)};

	memset(w, 0, sizeof *w);
	v4.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	v6.sin6_addr = in6addr_loopback;
	w->listener[0] = listen_on((const struct sockaddr *)&v4, sizeof v4);
	w->listener[1] = listen_on((const struct sockaddr *)&v6, sizeof v6);
	for (int i = 0; i < PH_WAIT_CLIENTS; i++)
		w->client[i].fd = -1;
	w->taken = w->listener[0] < 0 || (w->listener[1] < 0 && errno == EADDRINUSE);
	w->input = true;
}

static void client_close(struct ph_cli_wait_client *c)
{
	close(c->fd);
	c->fd = -1;
}

void ph_cli_wait_close(struct ph_cli_wait *w)
{
	for (int i = 0; i < 2; i++)
		if (w->listener[i] >= 0)
			close(w->listener[i]);
	for (int i = 0; i < PH_WAIT_CLIENTS; i++)
		if (w->client[i].fd >= 0)
			client_close(&w->client[i]);
	explicit_bzero(w, sizeof *w);
}

/* ---- the browser ---- */

static void answer(struct ph_cli_wait_client *c, int status, const char *text)
{
	char page[512];
	struct ph_buf b;
	int n = snprintf(page, sizeof page,
		"<!doctype html><meta charset=utf-8><title>posthouse</title><p>%s\n", text);

	ph_buf_init(&b, ANSWER_MAX);
	ph_http_put_status(&b, status);
	ph_http_put_header(&b, PH_STR("content-type"), PH_STR("text/html; charset=utf-8"));
	ph_http_put_header(&b, PH_STR("connection"), PH_STR("close"));
	ph_http_put_length(&b, (uint64_t)n);
	ph_http_put_end(&b);
	ph_buf_puts(&b, ph_str(page, (size_t)n));
	if (send(c->fd, b.p, b.n, MSG_NOSIGNAL) == (ssize_t)b.n)
		shutdown(c->fd, SHUT_WR);
	ph_buf_deinit(&b);
	client_close(c);
}

static enum ph_cli_redirect serve(
	struct ph_cli_wait_client *c, const struct ph_cli_flow *f, char *code, struct ph_err *err)
{
	struct ph_str head = ph_str(c->head, c->n), method = ph_str_split(&head, ' ');
	struct ph_str target = ph_str_split(&head, ' '), path, query;
	enum ph_cli_redirect r;

	if (!ph_str_eq(method, PH_STR("GET")) || ph_target_split(target, &path, &query) ||
		!ph_str_eq(path, PH_STR(CALLBACK_PATH))) {
		answer(c, 404, "There is nothing here.");
		return PH_REDIRECT_NONE;
	}
	r = ph_cli_flow_redirected(f, query, code, err);
	if (r == PH_REDIRECT_CODE)
		answer(c, 200,
			"You are logged in as far as this browser can tell. The command says the rest.");
	else if (r == PH_REDIRECT_REFUSED)
		answer(c, 200, "The login was refused. The command says why.");
	else
		answer(c, 400,
			"This is not the login that the command waits for. Open the URL that it printed "
			"last.");
	return r;
}

static void client_open(struct ph_cli_wait *w, int listener)
{
	int fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);

	for (int i = 0; fd >= 0 && i < PH_WAIT_CLIENTS; i++) {
		if (w->client[i].fd >= 0)
			continue;
		w->client[i].fd = fd;
		w->client[i].n = 0;
		w->client[i].until_ms = ph_clock_ms() + REQUEST_MS;
		return;
	}
	if (fd >= 0)
		close(fd);
}

static enum ph_cli_redirect client_read(
	struct ph_cli_wait_client *c, const struct ph_cli_flow *f, char *code, struct ph_err *err)
{
	ssize_t n = recv(c->fd, c->head + c->n, sizeof c->head - c->n, 0);

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return PH_REDIRECT_NONE;
	if (n > 0)
		c->n += (size_t)n;
	if (n > 0 && ph_str_find(ph_str(c->head, c->n), PH_STR("\r\n\r\n")) >= 0)
		return serve(c, f, code, err);
	if (n <= 0 || c->n == sizeof c->head)
		client_close(c);
	return PH_REDIRECT_NONE;
}

/* ---- standard input ---- */

static enum ph_cli_redirect line_done(
	struct ph_cli_wait *w, const struct ph_cli_flow *f, char *code, struct ph_err *err)
{
	struct ph_str line = ph_str_trim(ph_str(w->line, w->line_n));
	enum ph_cli_redirect r = line.n ? ph_cli_flow_redirected(f, line, code, err) : PH_REDIRECT_NONE;

	if (line.n && r == PH_REDIRECT_NONE)
		ph_cli_warn("that is no redirected URL: copy the whole address that the browser ended at "
			    "(http://localhost.../auth/callback?code=...)");
	else if (r == PH_REDIRECT_FOREIGN)
		ph_cli_warn("that URL belongs to another login: open the one that is printed above");
	w->line_n = 0;
	return r;
}

static enum ph_cli_redirect input_read(
	struct ph_cli_wait *w, const struct ph_cli_flow *f, char *code, struct ph_err *err)
{
	enum ph_cli_redirect r;
	char chunk[1024];
	ssize_t n = read(STDIN_FILENO, chunk, sizeof chunk);

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return PH_REDIRECT_NONE;
	for (ssize_t i = 0; i < n; i++) {
		if (chunk[i] != '\n') {
			if (w->line_n < sizeof w->line)
				w->line[w->line_n++] = chunk[i];
			continue;
		}
		r = line_done(w, f, code, err);
		if (r >= PH_REDIRECT_REFUSED)
			return r;
	}
	if (n > 0)
		return PH_REDIRECT_NONE;
	w->input = false; /* its end; the last line may lack a line feed */
	return line_done(w, f, code, err);
}

/* ---- both ---- */

bool ph_cli_wait_listens(const struct ph_cli_wait *w)
{
	return w->listener[0] >= 0 || w->listener[1] >= 0;
}

static enum ph_cli_redirect look(struct ph_cli_wait *w, const struct pollfd *p, const struct ph_cli_flow *f,
	char *code, struct ph_err *err)
{
	enum ph_cli_redirect r = PH_REDIRECT_NONE;

	if (p[0].revents)
		r = input_read(w, f, code, err);
	for (int i = 0; i < 2; i++)
		if (p[1 + i].revents & POLLIN)
			client_open(w, w->listener[i]);
	for (int i = 0; i < PH_WAIT_CLIENTS && r < PH_REDIRECT_REFUSED; i++) {
		struct ph_cli_wait_client *c = &w->client[i];

		if (c->fd >= 0 && p[3 + i].revents)
			r = client_read(c, f, code, err);
		if (c->fd >= 0 && ph_clock_ms() > c->until_ms)
			client_close(c);
	}
	return r;
}

enum ph_cli_redirect ph_cli_wait_redirect(struct ph_cli_wait *w, const struct ph_cli_flow *f, uint64_t ms,
	char code[PH_CODE_MAX], struct ph_err *err)
{
	uint64_t now = ph_clock_ms(), until = now + ms;

	for (; now < until; now = ph_clock_ms()) {
		struct pollfd p[3 + PH_WAIT_CLIENTS] = {
			{.fd = w->input ? STDIN_FILENO : -1, .events = POLLIN}};
		enum ph_cli_redirect r;

		for (int i = 0; i < 2; i++)
			p[1 + i] = (struct pollfd){.fd = w->listener[i], .events = POLLIN};
		for (int i = 0; i < PH_WAIT_CLIENTS; i++)
			p[3 + i] = (struct pollfd){.fd = w->client[i].fd, .events = POLLIN};
		if (poll(p, 3 + PH_WAIT_CLIENTS, (int)(until - now)) <= 0)
			continue;
		r = look(w, p, f, code, err);
		if (r >= PH_REDIRECT_REFUSED)
			return r;
	}
	return PH_REDIRECT_NONE;
}
