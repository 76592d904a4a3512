/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The settings, one row each. Everything that names a setting is made from these rows: environment, flags,
 * NAME_FILE, help, `check-config`, README. No name may have a shape that Kubernetes gives to service
 * variables (unknown.c).
 */
#include "posthouse/metrics.h"

#include "config_priv.h"

#define AT(member) .offset = offsetof(struct ph_config, member)
#define SECOND     UINT64_C(1000)
#define MINUTE     (60 * SECOND)
#define HOUR       (60 * MINUTE)
#define DAY        (24 * HOUR)
#define KIB        UINT64_C(1024)
#define MIB        (1024 * KIB)

const struct ph_setting ph_settings[] = {
	{
		.variable = "POSTHOUSE_DATABASE_URL",
		.type = PH_SET_DATABASE,
		AT(database_url),
		.unset = "none",
		.example = "postgresql://posthouse@db.example:5432/posthouse",
		.doc = "PostgreSQL: any libpq conninfo or URI, several hosts too; alias `DATABASE_URL`. "
		       "Without it libpq's "
		       "own variables where `PGHOST` or `PGSERVICE` is set, else the embedded PostgreSQL of "
		       "the data directory",
		.secret = true,
		.everywhere = true,
	},
	{
		.variable = "POSTHOUSE_DATABASE_DIRECT_URL",
		.type = PH_SET_DATABASE,
		AT(database_direct_url),
		.unset = "same",
		.example = "postgresql://posthouse@db.example:5432/posthouse",
		.doc = "For LISTEN and migrate, where the first goes through a transaction pooler",
		.secret = true,
		.everywhere = true,
	},
	{
		.variable = "POSTHOUSE_DATA_DIR",
		.type = PH_SET_DIR,
		AT(data_dir),
		.unset = "`$XDG_STATE_HOME/posthouse`, `~/.local/state/posthouse`; as root "
			 "`/var/lib/posthouse`",
		.example = "/var/lib/posthouse",
		.doc = "Where the embedded PostgreSQL and its master key live",
		.everywhere = true,
	},
	{
		.variable = "POSTHOUSE_LISTEN",
		.type = PH_SET_ADDRESS,
		AT(listen),
		.fallback = "127.0.0.1:8080",
		.example = "127.0.0.1:8080",
		.doc = "Where clients connect",
	},
	{
		.variable = "POSTHOUSE_ADMIN_LISTEN",
		.type = PH_SET_ADDRESS,
		AT(admin_listen),
		.fallback = "127.0.0.1:9090",
		.example = "127.0.0.1:9090",
		.doc = "Health and metrics",
		.everywhere = true,
	},
	{
		.variable = "POSTHOUSE_WORKERS",
		.type = PH_SET_COUNT,
		AT(workers),
		.fallback = "1",
		.min = 1,
		.max = PH_WORKERS_MAX,
		.example = "2",
		.doc = "Processes, each an event loop on the same port; one for each core that Posthouse may "
		       "use",
	},
	{
		.variable = "POSTHOUSE_NODE_NAME",
		.type = PH_SET_NODE,
		AT(node_name),
		.unset = "host name",
		.example = "gateway-1",
		.doc = "Unique in the cluster; worker n of several appears as NAME/n",
	},
	{
		.variable = "POSTHOUSE_MASTER_KEY",
		.type = PH_SET_MASTER_KEY,
		AT(master_key),
		.unset = "embedded: generated into the data directory",
		.example = "head -c 32 /dev/urandom | base64",
		.doc = "32 bytes in base64; seals upstream credentials. Several, separated by commas: the "
		       "first seals, all open",
		.secret = true,
		.no_flag = true,
		.everywhere = true,
	},
	{
		.variable = "POSTHOUSE_AUTH",
		.type = PH_SET_SWITCH,
		AT(auth_off),
		.fallback = "required",
		.words = "required|off",
		.example = "required",
		.doc = "`off`: no API key is asked for; accepted only on loopback",
	},
	{
		.variable = "POSTHOUSE_SNAPSHOTS",
		.type = PH_SET_ENUM,
		AT(snapshots),
		.fallback = "all",
		.words = "all|stored|none",
		.example = "all",
		.doc = "`all`: every turn is kept; `stored`: only turns with `store` not false; `none`. A "
		       "key's own setting wins",
	},
	{
		.variable = "POSTHOUSE_RETENTION",
		.type = PH_SET_DURATION,
		AT(retention_ms),
		.fallback = "30d",
		.min = SECOND,
		.max = 3650 * DAY,
		.example = "30d",
		.doc = "How long an id stays replayable",
	},
	{
		.variable = "POSTHOUSE_RETENTION_UNSTORED",
		.type = PH_SET_DURATION,
		AT(retention_unstored_ms),
		.fallback = "1d",
		.min = SECOND,
		.max = 3650 * DAY,
		.example = "1d",
		.doc = "The same for turns with `store:false`",
	},
	{
		.variable = "POSTHOUSE_MAX_BODY",
		.type = PH_SET_SIZE,
		AT(max_body),
		.fallback = "64MiB",
		.min = KIB,
		.max = 512 * MIB,
		.example = "64MiB",
		.doc = "Largest request body that is read, after decompression; uploads pass by at any size",
	},
	{
		.variable = "POSTHOUSE_CONNECT_TIMEOUT",
		.type = PH_SET_DURATION,
		AT(connect_timeout_ms),
		.fallback = "5s",
		.min = 10,
		.max = 10 * MINUTE,
		.example = "5s",
		.doc = "Connecting to an upstream",
	},
	{
		.variable = "POSTHOUSE_FIRST_EVENT_TIMEOUT",
		.type = PH_SET_DURATION,
		AT(first_event_timeout_ms),
		.fallback = "120s",
		.min = 10,
		.max = DAY,
		.example = "120s",
		.doc = "Headers and first event of a stream",
	},
	{
		.variable = "POSTHOUSE_IDLE_TIMEOUT",
		.type = PH_SET_DURATION,
		AT(idle_timeout_ms),
		.fallback = "300s",
		.min = 10,
		.max = DAY,
		.example = "300s",
		.doc = "Silence between events",
	},
	{
		.variable = "POSTHOUSE_ANSWER_TIMEOUT",
		.type = PH_SET_DURATION,
		AT(answer_timeout_ms),
		.fallback = "600s",
		.min = 10,
		.max = DAY,
		.example = "600s",
		.doc = "A whole answer that is not streamed",
	},
	{
		.variable = "POSTHOUSE_QUEUE_TIMEOUT",
		.type = PH_SET_DURATION,
		AT(queue_timeout_ms),
		.fallback = "30s",
		.max = HOUR,
		.example = "30s",
		.doc = "Waiting for a free slot of an account",
	},
	{
		.variable = "POSTHOUSE_DRAIN_TIMEOUT",
		.type = PH_SET_DURATION,
		AT(drain_timeout_ms),
		.fallback = "300s",
		.max = DAY,
		.example = "300s",
		.doc = "How long running turns may go on after SIGTERM",
	},
	{
		.variable = "POSTHOUSE_KEEPALIVE_INTERVAL",
		.type = PH_SET_DURATION,
		AT(keepalive_interval_ms),
		.fallback = "15s",
		.min = 10,
		.max = HOUR,
		.example = "15s",
		.doc = "Silence after which a stream gets a keepalive event",
	},
	{
		.variable = "POSTHOUSE_HOLD_TIMEOUT",
		.type = PH_SET_DURATION,
		AT(hold_timeout_ms),
		.fallback = "10s",
		.max = HOUR,
		.example = "10s",
		.doc = "How long lifecycle events may be held back, so that a failure can be retried unseen",
	},
	{
		.variable = "POSTHOUSE_POLL_INTERVAL",
		.type = PH_SET_DURATION,
		AT(poll_interval_ms),
		.fallback = "5s",
		.min = 100,
		.max = HOUR,
		.example = "5s",
		.doc = "Safety net of LISTEN/NOTIFY",
	},
	{
		.variable = "POSTHOUSE_LEASE_TTL",
		.type = PH_SET_DURATION,
		AT(lease_ttl_ms),
		.fallback = "15s",
		.min = 2 * SECOND,
		.max = 10 * MINUTE,
		.example = "15s",
		.doc = "How long a node that was killed keeps its slots",
	},
	{
		.variable = "POSTHOUSE_USAGE_INTERVAL",
		.type = PH_SET_DURATION,
		AT(usage_interval_ms),
		.fallback = "60s",
		.max = DAY,
		.example = "60s",
		.doc = "How often what a codex account has left is asked, by one node for all; 0: never",
	},
	{
		.variable = "POSTHOUSE_MODELS_INTERVAL",
		.type = PH_SET_DURATION,
		AT(models_interval_ms),
		.fallback = "5m",
		.max = DAY,
		.example = "5m",
		.doc = "How often an account is asked for its models, by one node for all; 0: never",
	},
	{
		.variable = "POSTHOUSE_UPSTREAM_TRANSPORT",
		.type = PH_SET_WORD,
		AT(upstream_transport),
		.fallback = "auto",
		.words = "auto|http|websocket",
		.example = "auto",
		.doc = "`auto`: the client's own transport, and HTTP where the account has no WebSocket; "
		       "`http`; `websocket`",
	},
	{
		.variable = "POSTHOUSE_WEBSOCKET",
		.type = PH_SET_SWITCH,
		AT(websocket),
		.fallback = "on",
		.words = "off|on",
		.example = "on",
		.doc = "`off`: every upgrade gets 426",
	},
	{
		.variable = "POSTHOUSE_TLS_CERT_FILE",
		.type = PH_SET_FILE,
		AT(tls_cert_file),
		.unset = "none",
		.example = "/etc/posthouse/tls.crt",
		.doc = "TLS on the listener: certificate chain in PEM, reloaded on SIGHUP",
	},
	{
		.variable = "POSTHOUSE_TLS_KEY_FILE",
		.type = PH_SET_FILE,
		AT(tls_key_file),
		.unset = "none",
		.example = "/etc/posthouse/tls.key",
		.doc = "Its private key in PEM",
	},
	{
		.variable = "POSTHOUSE_UPSTREAM_CA_FILE",
		.type = PH_SET_FILE,
		AT(upstream_ca_file),
		.unset = "system",
		.example = "/etc/ssl/certs/ca-certificates.crt",
		.doc = "Certificate authorities that upstreams are verified against",
	},
	{
		.variable = "POSTHOUSE_LOG_LEVEL",
		.type = PH_SET_ENUM,
		AT(log_level),
		.fallback = "info",
		.words = "error|warn|info|debug",
		.example = "info",
		.doc = "`error`, `warn`, `info`, `debug`",
	},
	{
		.variable = "POSTHOUSE_LOG_FORMAT",
		.type = PH_SET_ENUM,
		AT(log_format),
		.fallback = "json",
		.words = "json|text",
		.example = "json",
		.doc = "`json` or `text`, one line per event on standard error",
	},
};

const size_t ph_setting_count = sizeof(ph_settings) / sizeof(ph_settings[0]);
_Static_assert(sizeof(ph_settings) / sizeof(ph_settings[0]) <= PH_CONFIG_SETTINGS_MAX, "no room for origins");

/* The words of a setting stand in the order of the C enum that they fill. */
_Static_assert(
	PH_SNAPSHOTS_ALL == 0 && PH_SNAPSHOTS_STORED == 1 && PH_SNAPSHOTS_NONE == 2, "all|stored|none");
_Static_assert(PH_LOG_ERROR == 0 && PH_LOG_WARN == 1 && PH_LOG_INFO == 2 && PH_LOG_DEBUG == 3,
	"error|warn|info|debug");
_Static_assert(PH_LOG_JSON == 0 && PH_LOG_TEXT == 1, "json|text");

bool ph_setting_is_text(const struct ph_setting *s)
{
	switch (s->type) {
	case PH_SET_DATABASE:
	case PH_SET_MASTER_KEY:
	case PH_SET_DIR:
	case PH_SET_FILE:
	case PH_SET_NODE:
	case PH_SET_ADDRESS:
	case PH_SET_WORD:
		return true;
	default:
		return false;
	}
}

void ph_setting_flag(const struct ph_setting *s, char dst[PH_FLAG_MAX])
{
	const char *p = s->variable + strlen("POSTHOUSE_");
	size_t n = 0;

	for (; p[n] && n < PH_FLAG_MAX - 1; n++)
		dst[n] = p[n] == '_' ? '-' : (char)(p[n] | 0x20);
	dst[n] = '\0';
}

bool ph_config_is_flag(const char *name, bool everywhere)
{
	for (size_t i = 0; i < ph_setting_count; i++) {
		const struct ph_setting *s = &ph_settings[i];
		char flag[PH_FLAG_MAX];
		size_t n;

		ph_setting_flag(s, flag);
		n = strlen(flag);
		if ((everywhere && !s->everywhere) || strncmp(name, flag, n) != 0)
			continue;
		if ((name[n] == '\0' && !s->no_flag) || (s->secret && strcmp(name + n, "-file") == 0))
			return true;
	}
	return false;
}
