/* SPDX-License-Identifier: Apache-2.0 */
/* What an operator should know of an error of the request log: what it was, and what to do. The words for
 * clients are those of err.h. */
#include "admin_priv.h"

static const struct {
	const char *metric, *text;
} remedies[] = {
	{"no_accounts",
		"No account was usable for this key and model. Look at the accounts above; add one with "
		"`posthouse account add`, or name the model on one (--model)."},
	{"accounts_busy",
		"Every account was at its limit or resting for longer than POSTHOUSE_QUEUE_TIMEOUT. Raise "
		"max_streams with set_account_limit(), or add an account."},
	{"accounts_exhausted",
		"Every account has used up its window. The accounts say when it resets; add an account, or "
		"wait."},
	{"account_away",
		"The conversation needs one account, which is paused, blocked or gone. Resume it with "
		"`posthouse account resume NAME`."},
	{"account_bound", "An item of the conversation belongs to an account that was removed. The client "
			  "must start a new "
			  "conversation."},
	{"database_away",
		"PostgreSQL did not answer in time. Look at its log and load, and at `posthouse doctor`."},
	{"database_error",
		"PostgreSQL refused a statement. The node's log has its words; `posthouse doctor` checks the "
		"schema."},
	{"upstream_connect", "The upstream could not be reached. Check the account's base URL, name "
			     "resolution and the way "
			     "out of the network: `posthouse doctor` tries each account."},
	{"upstream_dropped",
		"The upstream ended its answer early. If it stays, a proxy or firewall in between cuts long "
		"streams."},
	{"upstream_silent",
		"The upstream did not answer within POSTHOUSE_FIRST_EVENT_TIMEOUT or fell silent for "
		"POSTHOUSE_IDLE_TIMEOUT."},
	{"upstream_bad", "The upstream's answer was not the Responses API. Check that the base URL is what "
			 "stands before "
			 "/responses."},
	{"upstream_failed",
		"The upstream answered 5xx. Other accounts take over; if all fail it is the provider's."},
	{"upstream_busy", "The upstream is overloaded. Accounts at another provider or region would help."},
	{"upstream_limited", "The account met its rate limit. It cools by itself; more accounts or a lower "
			     "weight spread the "
			     "load."},
	{"upstream_denied", "The upstream refused the account's credential. Replace it: `posthouse account "
			    "add` with the same "
			    "name, or `posthouse account login`."},
	{"upstream_expired", "The account's token had expired and could not be renewed. Log it in again: "
			     "`posthouse account "
			     "login NAME`."},
	{"upstream_cannot", "The upstream does not serve this model. Name what the account serves with "
			    "--model, so that it "
			    "is not tried."},
	{"upstream_refused", "The upstream judged the request itself as wrong: the client's to mend."},
	{"key_limited", "A key reached a limit of its own for minutes, hours or turns at a time. See "
			"posthouse_admin.key_limits; "
			"change it with `posthouse key set NAME --limit ...`."},
	{"key_quota", "A key has used up its money, or what it may use in a day or more. See "
		      "posthouse_admin.key_limits."},
	{"key_bad", "A client used a key that does not exist, was revoked or has expired."},
	{"model_denied",
		"A key asked for a model that it may not use. `posthouse key list` shows what it may."},
	{"model_unknown", "No account serves that model."},
	{"anchor_unknown",
		"A client went on from a response that this key does not have, or whose retention is over."},
	{"chain_too_large", "A conversation is longer than may be replayed. The client should compact it."},
	{"too_many", "The node was at its limit of streams. Start more nodes or workers."},
	{"draining", "A node was shutting down, and the balancer still sent it requests: compare its health "
		     "check with "
		     "POSTHOUSE_DRAIN_TIMEOUT."},
	{"client_gone", "Clients left before their answer was complete."},
	{"body_too_large", "A request was larger than POSTHOUSE_MAX_BODY."},
	{"internal", "A fault of the gateway. The node's log has the details of that request."},
	{"system", "The operating system refused something, such as memory or descriptors. The node's log "
		   "says what."},
};

void ph_remedies_put(struct ph_buf *b)
{
	for (size_t i = 0; i < sizeof remedies / sizeof *remedies; i++) {
		ph_buf_printf(b, "%s\"%s\":\"", i ? "," : "{", remedies[i].metric);
		ph_buf_json(b, ph_str_c(remedies[i].text));
		ph_buf_putc(b, '"');
	}
	ph_buf_putc(b, '}');
}
