/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A terminal for a picture that is drawn anew each time: the alternate screen, no echo, no line discipline,
 * and the way back on every exit. Plain control sequences that every terminal since the VT100 understands do
 * all of it; ncurses would be one more library in every image, for cursor movements that are not needed here.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <unistd.h>

#include "top.h"

#define ENTER "\033[?1049h\033[?25l" /* alternate screen, no cursor */
#define LEAVE "\033[?25h\033[?1049l"
#define HOME  "\033[H"
#define WIPE  "\033[J"     /* from here to the end of the screen */
#define LINE  "\033[K\r\n" /* the rest of the line is blank */

static const int signals[] = {SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGWINCH, SIGTSTP, SIGCONT};

static struct termios before;
static volatile sig_atomic_t open_now;
static volatile sig_atomic_t ended_by; /* a signal */
static int wake[2] = {-1, -1};         /* signals, as bytes */

/* Only what a signal handler may call. */
static void say(const char *sequence)
{
	size_t n = strlen(sequence);

	while (n > 0) {
		ssize_t w = write(STDOUT_FILENO, sequence, n);

		if (w < 0 && errno == EINTR)
			continue;
		if (w <= 0)
			return;
		sequence += w;
		n -= (size_t)w;
	}
}

static void leave(void)
{
	say(LEAVE);
	tcsetattr(STDIN_FILENO, TCSAFLUSH, &before);
}

static void enter(void)
{
	struct termios raw = before;

	raw.c_lflag &= (tcflag_t) ~(ICANON | ECHO);
	raw.c_cc[VMIN] = 1;
	raw.c_cc[VTIME] = 0;
	tcsetattr(STDIN_FILENO, TCSAFLUSH, &raw);
	say(ENTER);
}

/* The second one that should end it does: whatever is waited for, the terminal is given back. */
static void on_signal(int signum)
{
	int saved = errno;
	unsigned char byte = (unsigned char)signum;

	if (signum != SIGWINCH && signum != SIGTSTP && signum != SIGCONT) {
		if (ended_by && open_now) {
			leave();
			_exit(128 + signum);
		}
		ended_by = signum;
	}
	(void)!write(wake[1], &byte, 1);
	errno = saved;
}

static void watch_signals(void (*handler)(int))
{
	struct sigaction action = {.sa_handler = handler};

	for (size_t i = 0; i < sizeof(signals) / sizeof(signals[0]); i++)
		sigaction(signals[i], &action, NULL);
}

int ph_terminal_open(struct ph_err *err)
{
	if (!isatty(STDIN_FILENO) || !isatty(STDOUT_FILENO) || tcgetattr(STDIN_FILENO, &before) < 0)
		return ph_fail(err, PH_E_USAGE, "this is no terminal; --once prints one look");
	if (pipe2(wake, O_CLOEXEC | O_NONBLOCK) < 0)
		return ph_fail(err, PH_E_SYSTEM, "no pipe can be had (%s)", strerror(errno));
	atexit(ph_terminal_close);
	open_now = 1;
	watch_signals(on_signal);
	enter();
	return 0;
}

void ph_terminal_close(void)
{
	if (!open_now)
		return;
	leave();
	open_now = 0;
	watch_signals(SIG_DFL);
	close(wake[0]);
	close(wake[1]);
}

int ph_terminal_signal(void)
{
	return ended_by;
}

void ph_terminal_size(size_t *ret_rows, size_t *ret_columns)
{
	struct winsize size;
	bool known = ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_row > 0 && size.ws_col > 0;

	*ret_rows = known ? size.ws_row : 24;
	*ret_columns = known ? size.ws_col : 80;
}

/* Line by line over what stood there: no flicker, and no newline at the end, which would scroll. */
void ph_terminal_show(const struct ph_buf *frame)
{
	struct ph_str rest = ph_buf_str(frame);
	struct ph_buf out;
	bool first = true;

	ph_buf_init(&out, 4u << 20);
	ph_buf_puts(&out, PH_STR(HOME));
	while (rest.n > 0) {
		if (!first)
			ph_buf_puts(&out, PH_STR(LINE));
		ph_buf_puts(&out, ph_str_split(&rest, '\n'));
		first = false;
	}
	ph_buf_puts(&out, PH_STR("\033[K" WIPE));
	ph_buf_append(&out, "", 1);
	if (!out.failed)
		say(out.p);
	ph_buf_deinit(&out);
}

/* ---- keys ---- */

/* Stops as the shell asked; goes on with the screen as it was. */
static void stop(void)
{
	leave();
	raise(SIGSTOP);
	enter();
}

static int take_signal(void)
{
	unsigned char byte;

	while (read(wake[0], &byte, 1) == 1) {
		if (byte == SIGTSTP)
			stop();
		else if (byte != SIGWINCH && byte != SIGCONT)
			return PH_KEY_END;
	}
	return PH_KEY_RESIZED;
}

int ph_terminal_key(uint64_t timeout_ms)
{
	struct pollfd p[] = {{.fd = STDIN_FILENO, .events = POLLIN}, {.fd = wake[0], .events = POLLIN}};
	unsigned char byte;
	int r = poll(p, 2, (int)timeout_ms);

	if (r == 0)
		return PH_KEY_NONE;
	if (r < 0 || p[1].revents)
		return take_signal();
	return read(STDIN_FILENO, &byte, 1) == 1 ? byte : PH_KEY_END;
}
